"""Captions of a garment's shape by Qwen2.5-VL: "a <cloth type> with <attributes>", never colours or patterns.

Colours, patterns and materials come from the pixels; the caption describes what the pixels leave open.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from qwen_vl_utils import process_vision_info
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from temu_vtoff.captioning.prompt import MAX_PIXELS, Source, caption_prompt, check_sampling, clean_caption
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.loading import load_processor, load_transformers_model, try_tokenizer
from temu_vtoff.hub.sources import PUBLISHED_CAPTIONER

_LONGEST_RATIO = 200  # of a picture's sides; the limit of qwen-vl-utils


class Captioner:
    """A Qwen2.5-VL, loaded once and used for any number of pictures."""

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        processor: Qwen2_5_VLProcessor,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ):
        self.model = model.eval()
        self.processor = processor
        size = processor.image_processor.size
        self.max_pixels = min(size["longest_edge"], MAX_PIXELS) if max_pixels is None else max_pixels
        self.min_pixels = min(size["shortest_edge"], self.max_pixels) if min_pixels is None else min_pixels
        least = max(self.min_pixels, self._token_side**2)
        if self.max_pixels < least:
            raise ArgumentError(
                f"{{max_pixels}} is {self.max_pixels}; give at least {least}, the larger of min_pixels and the pixels "
                "of one visual token.",
                "max_pixels",
            )
        if self.min_pixels < 1:
            raise ArgumentError(f"{{min_pixels}} is {self.min_pixels}; give at least 1.", "min_pixels")

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = PUBLISHED_CAPTIONER,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> "Captioner":
        """
        Args:
            name_or_path: Hub id, folder, or "builtin".
            device: Device of the model; by default the CPU.
            dtype: Precision; by default bfloat16 on a CUDA device and float32 elsewhere.
            min_pixels: Smaller pictures are enlarged to this many pixels; by default the checkpoint's bound.
            max_pixels: Larger pictures are reduced to this many pixels, 28x28 for a visual token; by default the
                checkpoint's bound, but at most `MAX_PIXELS`.

        Raises:
            HubUnreachableError: The model is not on this machine and the hub does not answer.
            CheckpointError: It can't be loaded.
            ArgumentError: `max_pixels` is below `min_pixels`, or not enough for one visual token.
        """
        what = "the captioner"
        model = load_transformers_model(  # before the processor, because its errors name the cause
            Qwen2_5_VLForConditionalGeneration,
            name_or_path,
            what,
            part="captioner",
            device=device,
            dtype=dtype,
            cuda_dtype=torch.bfloat16,
        )
        needs = ("preprocessor_config.json", "processor_config.json")
        processor = load_processor(
            AutoProcessor, name_or_path, what, needs=needs, trial=_try_processor, part="captioner"
        )
        return cls(model, processor, min_pixels, max_pixels)

    def __call__(
        self,
        images: Image.Image | Sequence[Image.Image],
        categories: str | Sequence[str],
        source: Source = "person",
        temperature: float = 0.2,
        max_new_tokens: int = 75,
        seed: int | Sequence[int] = 0,
    ) -> list[str]:
        """Captions the pictures as one batch. A caption does not depend on the other pictures of the batch.

        Args:
            images: Upright RGB pictures of any sizes, one or several.
            categories: Category of the garment to describe, one for all pictures or one for each.
            source: "person" if a person wears the garment, "garment" for an in-shop picture.
            temperature: 0 always takes the likeliest word; higher values vary more.
            max_new_tokens: Longer answers are cut.
            seed: Random seed, one for all pictures or one for each.

        Returns:
            One line for each picture.

        Raises:
            ArgumentError: Unknown category or source, or a sampling setting out of range.
            ValueError: The numbers of pictures, categories and seeds differ, or a picture is too elongated.
        """
        images = [images] if isinstance(images, Image.Image) else list(images)
        categories = [categories] * len(images) if isinstance(categories, str) else list(categories)
        seeds = [seed] * len(images) if isinstance(seed, int) else list(seed)
        if not len(images) == len(categories) == len(seeds):
            raise ValueError(f"{len(images)} pictures came with {len(categories)} categories and {len(seeds)} seeds.")
        check_sampling(temperature, max_new_tokens, seeds)
        if not images:
            return []
        inputs = self._inputs(
            [self._chat(i, caption_prompt(c, source)) for i, c in zip(images, categories, strict=True)]
        )
        answers = self._generate(inputs, temperature, max_new_tokens, seeds)
        return [
            clean_caption(text) for text in self.processor.tokenizer.batch_decode(answers, skip_special_tokens=True)
        ]

    def _inputs(self, chats: list[list[dict[str, Any]]]) -> Any:
        """The model's inputs: pictures resized to the bounds, and prompts, padded on the left."""
        # qwen-vl-utils assumes that 2x2 patches make a visual token.
        pictures, _ = process_vision_info(chats, image_patch_size=self._token_side // 2)
        return self.processor(
            text=self.processor.apply_chat_template(chats, tokenize=False, add_generation_prompt=True),
            images=pictures,
            do_resize=False,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        ).to(self.model.device)

    def _generate(self, inputs: Any, temperature: float, max_new_tokens: int, seeds: list[int]) -> torch.Tensor:
        """The tokens of the answers, (B, T)."""
        # Greedy search on noisy scores is sampling, and unlike `do_sample` it draws for each picture separately. The
        # checkpoint's other settings, such as its repetition penalty, stay. The padding token must not be generated:
        # the penalty counts how often it occurs, which depends on the other pictures of the batch.
        tokenizer = self.processor.tokenizer
        pad = tokenizer.pad_token_id
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        tokens = self.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=pad,
            suppress_tokens=[pad] if pad != tokenizer.eos_token_id else None,
            logits_processor=[_GumbelNoise(temperature, generators)] if temperature > 0 else [],
        )
        return tokens[:, inputs["input_ids"].shape[1] :]

    def _chat(self, image: Image.Image, prompt: str) -> list[dict[str, Any]]:
        ratio = max(image.size) / min(image.size)
        limit = min(_LONGEST_RATIO, self.max_pixels // self._token_side**2)  # one visual token must fit across
        if ratio > limit:
            raise ValueError(
                f"the picture is {image.width}x{image.height}, too elongated to be seen with max_pixels "
                f"{self.max_pixels}; crop it."
            )
        picture = {"type": "image", "image": image, "min_pixels": self.min_pixels, "max_pixels": self.max_pixels}
        return [{"role": "user", "content": [picture, {"type": "text", "text": prompt}]}]

    @property
    def _token_side(self) -> int:
        """Side of the square of pixels that makes one visual token."""
        return self.processor.image_processor.patch_size * self.processor.image_processor.merge_size


def _try_processor(processor: Qwen2_5_VLProcessor) -> str | None:
    """A trial for `load_processor`: prepares a question about a picture, as the captioner does."""
    tokenizer = processor.tokenizer
    if tokenizer.pad_token_id is None or tokenizer.eos_token_id is None:
        return "its tokenizer has no padding token or no end-of-text token: tokenizer_config.json is incomplete"
    question = "a shirt"
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    text = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    if processor.image_token not in text or question not in text:
        return "its chat template leaves out the picture or the question"
    inputs = processor(text=[text], images=[Image.new("RGB", (56, 56))], return_tensors="pt")
    if not (inputs["input_ids"] == processor.image_token_id).any():
        return f"its tokenizer does not know {processor.image_token}"
    return try_tokenizer(tokenizer)


class _GumbelNoise:
    """A logits processor: adds noise to each row from its own generator.

    The largest of scores + temperature * Gumbel noise is distributed as softmax(scores / temperature). The noise is
    drawn on the CPU, so that every device draws the same.
    """

    def __init__(self, temperature: float, generators: list[torch.Generator]):
        self.temperature = temperature
        self.generators = generators

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # (B, T), (B, vocabulary)
        noise = [torch.empty(scores.shape[1]).exponential_(generator=g).log().neg() for g in self.generators]
        return scores + self.temperature * torch.stack(noise).to(scores)

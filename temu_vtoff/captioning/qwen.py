"""Captions of a garment's shape by Qwen2.5-VL: "a <cloth type> with <attributes>", never colours or patterns.

Colours, patterns and materials come from the pixels; the caption tells the try-off model what they leave open.
Heavy imports stand inside functions, so that scripts that offer captions start at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from temu_vtoff import builtin
from temu_vtoff.captioning.prompt import Source, caption_prompt, clean_caption
from temu_vtoff.hub.errors import explain_loading
from temu_vtoff.hub.sources import PUBLISHED_CAPTIONER
from temu_vtoff.hub.strict import check_weights

if TYPE_CHECKING:
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

MAX_PIXELS = 1024 * 28 * 28  # 1024 visual tokens of 28x28 pixels each: a 768x1024 photo whole


class Captioner:
    """A Qwen2.5-VL, loaded once and used for any number of pictures."""

    def __init__(
        self,
        model: "Qwen2_5_VLForConditionalGeneration",
        processor: "Qwen2_5_VLProcessor",
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ):
        self.model = model.eval()
        self.processor = processor
        size = processor.image_processor.size
        self.max_pixels = min(size["longest_edge"], MAX_PIXELS) if max_pixels is None else max_pixels
        self.min_pixels = min(size["shortest_edge"], self.max_pixels) if min_pixels is None else min_pixels
        if self.max_pixels < max(self.min_pixels, self._token_side**2):
            raise ValueError(
                f"max_pixels is {self.max_pixels}; give at least {max(self.min_pixels, self._token_side**2)}, which is "
                "the larger of min_pixels and the pixels of one visual token."
            )

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = PUBLISHED_CAPTIONER,
        device: "str | torch.device | None" = None,
        dtype: "torch.dtype | None" = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> "Captioner":
        """
        Args:
            name_or_path: Hub id, folder, or "builtin".
            device: Left unset, the CPU.
            dtype: Left unset, bfloat16 on a CUDA device and float32 elsewhere.
            min_pixels: Smaller pictures are enlarged to so many pixels; left unset, the checkpoint's bound.
            max_pixels: Larger pictures are reduced to so many pixels, 28x28 of which make a visual token; left unset,
                the checkpoint's bound, but at most `MAX_PIXELS`.

        Raises:
            HubUnreachableError: The model is not on this machine and the hub does not answer.
            CheckpointError: It can't be loaded.
            ValueError: `max_pixels` is below `min_pixels`, or not enough for one visual token.
        """
        import torch
        from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

        where = builtin.resolve(name_or_path, "captioner")
        device = torch.device("cpu" if device is None else device)
        if dtype is None:
            dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        with explain_loading(name_or_path, "the captioner"):
            model, info = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                where, dtype=dtype, output_loading_info=True
            )
            processor = AutoProcessor.from_pretrained(where)
        check_weights(info["missing_keys"], (), "the captioner", name_or_path)
        return cls(model.to(device), processor, min_pixels, max_pixels)

    def __call__(
        self,
        images: Image.Image | Sequence[Image.Image],
        categories: str | Sequence[str],
        source: Source = "person",
        temperature: float = 0.2,
        max_new_tokens: int = 75,
        seed: int | Sequence[int] = 0,
    ) -> list[str]:
        """Captions as one batch; what a picture gets does not depend on what else is in the batch.

        Args:
            images: Upright RGB pictures of any sizes, one or several.
            categories: Of the garment meant, for all or for each.
            source: Whether somebody wears the garment or it lies there alone.
            temperature: 0 for the likeliest word each time; the higher, the more varied.
            max_new_tokens: Longer answers are cut.
            seed: Of the sampling, for all or for each.

        Returns:
            For each picture one clean line.

        Raises:
            ValueError: Unknown category or source, a count that does not fit, a negative temperature, or a picture too
                elongated to be seen.
        """
        import torch
        from qwen_vl_utils import process_vision_info

        images = [images] if isinstance(images, Image.Image) else list(images)
        categories = [categories] * len(images) if isinstance(categories, str) else list(categories)
        seeds = [seed] * len(images) if isinstance(seed, int) else list(seed)
        if not len(images) == len(categories) == len(seeds):
            raise ValueError(f"{len(images)} pictures came with {len(categories)} categories and {len(seeds)} seeds.")
        if temperature < 0:
            raise ValueError(f"temperature is {temperature}; give 0 or more.")
        if not images:
            return []

        chats = [self._chat(image, caption_prompt(c, source)) for image, c in zip(images, categories, strict=True)]
        tokenizer = self.processor.tokenizer
        # Resized to the bounds. qwen-vl-utils takes it for granted that 2x2 patches make a visual token.
        pictures, _ = process_vision_info(chats, image_patch_size=self._token_side // 2)
        inputs = self.processor(
            text=self.processor.apply_chat_template(chats, tokenize=False, add_generation_prompt=True),
            images=pictures,
            do_resize=False,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        ).to(self.model.device)

        # Greedy search on noisy scores is sampling, and unlike `do_sample` it draws for each picture on its own.
        # The checkpoint's other settings, its repetition penalty, stay. The padding must not come up as a word: the
        # penalty weighs it by how much of it a picture's neighbours brought about.
        pad = tokenizer.pad_token_id
        generators = [torch.Generator().manual_seed(s) for s in seeds]
        answers = self.model.generate(
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
        answers = answers[:, inputs["input_ids"].shape[1] :]
        return [clean_caption(text) for text in tokenizer.batch_decode(answers, skip_special_tokens=True)]

    def _chat(self, image: Image.Image, prompt: str) -> list[dict[str, Any]]:
        ratio = max(image.size) / min(image.size)
        limit = min(
            200, self.max_pixels // self._token_side**2
        )  # qwen-vl-utils takes 200; one visual token must fit across
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


class _GumbelNoise:
    """A logits processor: adds noise to each row from its own generator.

    The largest of scores + temperature * Gumbel noise is distributed as softmax(scores / temperature). The noise is
    drawn on the CPU, so that every device draws the same.
    """

    def __init__(self, temperature: float, generators: "list[torch.Generator]"):
        self.temperature = temperature
        self.generators = generators

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":  # (B, T), (B, vocabulary)
        import torch

        noise = [torch.empty(scores.shape[1]).exponential_(generator=g).log().neg() for g in self.generators]
        return scores + self.temperature * torch.stack(noise).to(scores)

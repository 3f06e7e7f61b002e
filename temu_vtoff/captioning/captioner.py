"""Captions of a garment's shape by any image-text-to-text model of transformers: Qwen2.5-VL, Qwen3-VL and others.

A caption is "a <cloth type> with <attributes>". Colours, patterns and materials come from the pixels; the caption
describes what the pixels leave open.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from qwen_vl_utils import process_vision_info
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)

from temu_vtoff import builtin
from temu_vtoff.captioning.prompt import (
    MAX_NEW_TOKENS,
    MAX_PIXELS,
    TEMPERATURE,
    Source,
    caption_prompt,
    check_sampling,
    clean_caption,
)
from temu_vtoff.errors import ArgumentError, check_least
from temu_vtoff.hub.errors import CheckpointError, explain_loading
from temu_vtoff.hub.loading import check_component, load_processor, load_transformers_model, try_tokenizer
from temu_vtoff.hub.sources import PUBLISHED_CAPTIONER

_LONGEST_RATIO = 200  # of a picture's sides; the limit of qwen-vl-utils


class Captioner:
    """An image-text-to-text model, loaded once and used for any number of pictures."""

    def __init__(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ):
        self.model = model.eval()
        self.processor = processor
        smallest, largest = self._own_bounds()
        self.max_pixels = min(largest, MAX_PIXELS) if max_pixels is None else max_pixels
        self.min_pixels = min(smallest, self.max_pixels) if min_pixels is None else min_pixels
        least = max(self.min_pixels, self._token_side**2)
        if self.max_pixels < least:
            raise ArgumentError(
                f"{{max_pixels}} is {self.max_pixels}; give at least {least}, the larger of min_pixels and the pixels "
                "of one visual token.",
                "max_pixels",
            )
        check_least("min_pixels", self.min_pixels)

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
            max_pixels: Larger pictures are reduced to this many pixels, in Qwen2.5-VL 28x28 for a visual token; by
                default the checkpoint's bound, but at most `MAX_PIXELS`.

        Raises:
            HubUnreachableError: The model is not on this machine and the hub does not answer.
            CheckpointError: It can't be loaded, or is no image-text-to-text model with a chat template.
            ArgumentError: `max_pixels` is below `min_pixels`, or not enough for one visual token.
        """
        what = "the captioner"
        model = load_transformers_model(  # before the processor, because its errors name the cause
            _find_class(name_or_path, what),
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
        temperature: float = TEMPERATURE,
        max_new_tokens: int = MAX_NEW_TOKENS,
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
            ValueError: The numbers of pictures, categories and seeds differ, a picture is too elongated, or the
                model's scores are not finite.
        """
        images = [images] if isinstance(images, Image.Image) else list(images)
        categories = [categories] * len(images) if isinstance(categories, str) else list(categories)
        seeds = [seed] * len(images) if isinstance(seed, int) else list(seed)
        if not len(images) == len(categories) == len(seeds):
            raise ValueError(f"{len(images)} pictures came with {len(categories)} categories and {len(seeds)} seeds.")
        check_sampling(temperature, max_new_tokens, seeds)
        if not images:
            return []
        prompts = [caption_prompt(category, source) for category in categories]
        inputs = self._inputs([*map(self._chat, images, prompts)])
        answers = self._generate(inputs, temperature, max_new_tokens, seeds)
        texts = self.processor.tokenizer.batch_decode(answers, skip_special_tokens=True)
        return [clean_caption(text) for text in texts]

    def _inputs(self, chats: list[list[dict[str, Any]]]) -> Any:
        """The model's inputs: pictures resized to the bounds, and prompts, padded on the left."""
        # qwen-vl-utils assumes that 2x2 patches make a visual token.
        pictures, _ = process_vision_info(chats, image_patch_size=self._token_side / 2)
        return self.processor(
            text=self.processor.apply_chat_template(chats, tokenize=False, add_generation_prompt=True),
            images=[[picture] for picture in pictures],
            padding=True,
            padding_side="left",
            return_tensors="pt",
            **({"do_resize": False} if self._takes_any_size else {}),
        ).to(self.model.device, self.model.dtype)

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
            logits_processor=[
                partial(_require_finite, self.model.dtype),
                *([_GumbelNoise(temperature, generators)] if temperature > 0 else []),
            ],
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
    def _takes_any_size(self) -> bool:
        """Whether the model sees pictures in their own shape, as Qwen's do; others resize them to a shape of theirs."""
        of_pictures = self.processor.image_processor
        sides = dict(of_pictures.size or {})
        return None not in (
            getattr(of_pictures, "patch_size", None),
            getattr(of_pictures, "merge_size", None),
            sides.get("shortest_edge"),
            sides.get("longest_edge"),
        )

    @property
    def _token_side(self) -> int:
        """Side of the square of pixels that makes one visual token; 1 where the model resizes pictures itself."""
        of_pictures = self.processor.image_processor
        return of_pictures.patch_size * of_pictures.merge_size if self._takes_any_size else 1

    def _own_bounds(self) -> tuple[int, int]:
        """The fewest and the most pixels of a picture, by the checkpoint."""
        size = self.processor.image_processor.size
        return (size["shortest_edge"], size["longest_edge"]) if self._takes_any_size else (1, MAX_PIXELS)


def _find_class(name_or_path: str | Path, what: str) -> type[PreTrainedModel]:
    """The class of an image-text-to-text model, by its configuration.

    Raises:
        CheckpointError: It can't be read, or belongs to another kind of model.
    """
    where = str(builtin.resolve(name_or_path, "captioner"))
    with explain_loading(name_or_path, what):
        check_component(where, what, needs=("config.json",))
        kind = PreTrainedConfig.get_config_dict(where)[0].get("model_type")
    config = CONFIG_MAPPING[kind] if isinstance(kind, str) and kind in CONFIG_MAPPING else None
    if config not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise CheckpointError(
            f"{what} can't be loaded: the model in {name_or_path} is a {kind}, not an image-text-to-text model of "
            "transformers, such as Qwen2.5-VL or Qwen3-VL."
        )
    found = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[config]
    return found[0] if isinstance(found, tuple) else found


def _try_processor(processor: ProcessorMixin) -> str | None:
    """A trial for `load_processor`: prepares a question about a picture, as the captioner does."""
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None or getattr(processor, "image_processor", None) is None:
        return "it prepares no pictures: its processor's configuration is missing"
    if tokenizer.pad_token_id is None or tokenizer.eos_token_id is None:
        return "its tokenizer has no padding token or no end-of-text token: tokenizer_config.json is incomplete"
    if processor.chat_template is None:
        return "it has no chat template, so that nothing can be asked; choose a model tuned for instructions"
    question = "a shirt"

    def prompt(first: dict[str, str]) -> str:
        chat = [{"role": "user", "content": [first, {"type": "text", "text": question}]}]
        return processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)

    text = prompt({"type": "image"})
    if question not in text or text == prompt({"type": "text", "text": ""}):
        return "its chat template leaves out the picture or the question"
    inputs = processor(text=[text], images=[[Image.new("RGB", (56, 56))]], return_tensors="pt")
    token = getattr(processor, "image_token_id", None)
    if token is not None and not (inputs["input_ids"] == token).any():
        return f"its tokenizer does not know {processor.image_token}"
    return try_tokenizer(tokenizer)


def _require_finite(dtype: torch.dtype, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """A logits processor, once it is given the model's precision: scores (B, vocabulary) come out as they are.

    Raises:
        ValueError: The best score of a row is NaN or infinite; suppressed tokens have minus infinity.
    """
    if not scores.amax(-1).isfinite().all():
        remedy = "use bfloat16 or float32" if dtype == torch.float16 else "is a weight of the checkpoint damaged?"
        raise ValueError(f"the captioner's values are not finite in {str(dtype).removeprefix('torch.')}: {remedy}")
    return scores


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

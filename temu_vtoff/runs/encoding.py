"""Text and image encoders without the rest of the pipeline, and what they make of a dataset's items, on disk.

Letters: B items, T tokens of one encoder, D width of the joint attention, P pooled width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from diffusers import StableDiffusion3Pipeline
from torch.nn import functional as F
from transformers import CLIPImageProcessor

from temu_vtoff.builtin import resolve
from temu_vtoff.datasets.features import CLIP, EMPTY_PROMPT, POOLED, T5, ImageFeatures, TextFeatures, save_feature
from temu_vtoff.hub.errors import explain_loading
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.runs.reading import read_batches
from temu_vtoff.runs.sharing import unfinished
from temu_vtoff.tryoff.conditioning import TEXT_TOKENS, ConditioningMixin
from temu_vtoff.tryoff.loading import load_components

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, TryOffDataset
    from temu_vtoff.stages.model_choice import ModelChoice

ENCODERS = {"all": (POOLED, CLIP, T5), "clip": (POOLED, CLIP), "t5": (T5,)}  # which features each choice makes
_OTHER_PARTS = ("transformer", "transformer_vton", "vae", "scheduler")
_IMAGE_PARTS = ("image_encoder_large", "image_encoder_bigG", "feature_extractor")
_TEXT_PARTS = ("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3")


@dataclass(frozen=True)
class TextEncoder:
    """SD3's text encoders, both kinds or one.

    Attributes:
        pipe: Holds nothing else.
        width: D.
        tokens: T.
    """

    pipe: StableDiffusion3Pipeline
    width: int
    tokens: int

    @classmethod
    def load(cls, models: ModelChoice, device: torch.device, dtype: torch.dtype, which: str = "all") -> TextEncoder:
        """
        Args:
            which: A key of `ENCODERS`; the other encoders are not loaded.

        Raises:
            CheckpointError: They can't be had.
        """
        left_out = [*_OTHER_PARTS, *_IMAGE_PARTS]
        left_out += {"all": [], "clip": ["text_encoder_3", "tokenizer_3"], "t5": ["text_encoder", "text_encoder_2"]}[
            which
        ]
        parts = _load(models, dtype, left_out)
        with explain_loading(models.tryoff, "the generator's configuration"):
            config = TryOffTransformer.load_config(resolve(models.tryoff, "tryoff"), subfolder="transformer")
        pipe = StableDiffusion3Pipeline(transformer=None, vae=None, scheduler=None, **_named(parts, _TEXT_PARTS))
        pipe.to(device)
        return cls(pipe, config["joint_attention_dim"], min(TEXT_TOKENS, pipe.tokenizer_max_length))

    @torch.no_grad()
    def __call__(self, captions: Sequence[str], features: Sequence[str]) -> dict[str, torch.Tensor]:
        """The features wanted: `POOLED` (B, P), `CLIP` and `T5` (B, T, D), as the pipeline joins them."""
        made = {}
        if CLIP in features:
            both = [self.pipe._get_clip_prompt_embeds(list(captions), clip_model_index=i) for i in (0, 1)]
            embeds = torch.cat([embeds for embeds, _ in both], dim=-1)
            made[CLIP] = F.pad(embeds, (0, self.width - embeds.shape[-1]))
            made[POOLED] = torch.cat([pooled for _, pooled in both], dim=-1)
        if T5 in features:
            if self.pipe.text_encoder_3 is None:  # the pipeline then takes zeros
                made[T5] = torch.zeros(len(captions), self.tokens, self.width)
            else:
                made[T5] = self.pipe._get_t5_prompt_embeds(
                    list(captions), max_sequence_length=self.tokens, dtype=self.pipe.text_encoder_3.dtype
                )
        return made


@dataclass(frozen=True)
class ImageEncoder(ConditioningMixin):
    """The two vision encoders; `encode_image` is the pipeline's own."""

    image_encoder_large: torch.nn.Module
    image_encoder_bigG: torch.nn.Module
    feature_extractor: CLIPImageProcessor
    config: SimpleNamespace

    @classmethod
    def load(cls, models: ModelChoice, device: torch.device, dtype: torch.dtype) -> ImageEncoder:
        """
        Raises:
            CheckpointError: They can't be had.
        """
        parts = _load(models, dtype, [*_OTHER_PARTS, *_TEXT_PARTS], **models.image_encoders)
        return cls(
            parts["image_encoder_large"].to(device),
            parts["image_encoder_bigG"].to(device),
            parts.get("feature_extractor", CLIPImageProcessor()),
            SimpleNamespace(rescale_clip_input_twice=parts.get("rescale_clip_input_twice", True)),  # as TryOffPipeline
        )

    @property
    def _execution_device(self) -> torch.device:
        return self.image_encoder_large.device


def encode_text_items(
    batches: Sequence[Sequence[Item]],
    captions: Mapping[str, str],
    encoder: TextEncoder,
    store: TextFeatures,
    features: Sequence[str],
    dtype: torch.dtype,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[Item, str]:
    """Writes the text features that are missing.

    Args:
        batches: Go through the encoders whole, so that no value depends on what an earlier run had finished.
        captions: By item id.
        features: Which; the encoder has what they need.
        dtype: On disk.
        progress: Wraps the batches; a progress bar, say.

    Returns:
        What was wrong with the items that got none.
    """
    items = [item for batch in batches for item in batch]
    failures = {item: "no caption" for item in items if item.id not in captions}
    captioned = [[item for item in batch if item not in failures] for batch in batches]
    to_do = unfinished(captioned, lambda item: all(store.path(feature, item).exists() for feature in features))
    for batch in progress(to_do):
        made = encoder([captions[item.id] for item in batch], features)
        for feature, rows in made.items():
            for item, row in zip(batch, rows, strict=True):
                save_feature(row.to(dtype), store.path(feature, item))
    return failures


def encode_empty_prompt(encoder: TextEncoder, store: TextFeatures, features: Sequence[str], dtype: torch.dtype) -> None:
    """Writes what guidance needs."""
    for feature, rows in encoder([""], features).items():
        save_feature(rows[0].to(dtype), store.root / feature / EMPTY_PROMPT)


def encode_image_items(
    dataset: TryOffDataset,
    batches: Sequence[Sequence[Item]],
    encoder: ImageEncoder,
    store: ImageFeatures,
    dtype: torch.dtype,
    num_workers: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[Item, str]:
    """Writes the image features that are missing; as `encode_text_items`.

    Args:
        dataset: Loads persons, at the size that the pipeline gets them in.
    """
    from torchvision.transforms.functional import to_tensor

    failures: dict[Item, str] = {}
    for read in progress(read_batches(dataset, unfinished(batches, store.has), num_workers)):
        failures |= dict(read.failures)
        if read.samples:
            with torch.no_grad():
                rows = encoder.encode_image(torch.stack([to_tensor(sample.person) for sample in read.samples]))
            for sample, row in zip(read.samples, rows, strict=True):
                save_feature(row.to(dtype), store.path(sample.item))
    return failures


def _load(models: ModelChoice, dtype: torch.dtype, left_out: Sequence[str], **given: str) -> dict[str, Any]:
    parts = load_components(
        models.base,
        models.tryoff,
        torch_dtype=dtype,
        revision=models.revision,
        variant=models.variant,
        given=dict.fromkeys(left_out) | given,
    )
    return {name: part for name, part in parts.items() if part is not None}


def _named(parts: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: parts.get(name) for name in names}

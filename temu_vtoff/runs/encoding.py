"""Text and image encoders without the rest of the pipeline, and what they make of a dataset's items, on disk.

Letters: B items, T tokens of one encoder, D width of the joint attention, P pooled width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import StableDiffusion3Pipeline
from torch.nn import functional as F
from torchvision.transforms.functional import to_tensor
from transformers import CLIPImageProcessor

from temu_vtoff.builtin import resolve
from temu_vtoff.datasets.features import (
    CLIP,
    EMPTY_PROMPT,
    POOLED,
    T5,
    ImageFeatures,
    TextFeatures,
    is_whole_feature,
    save_feature,
)
from temu_vtoff.hardware.devices import choose_device, choose_dtype
from temu_vtoff.hub.errors import explain_loading
from temu_vtoff.hub.sources import IMAGE_ENCODERS, REQUIRED
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.runs.reading import naming_killed_readers, one_sentence
from temu_vtoff.runs.stage import Progress, each_batch, each_result
from temu_vtoff.tryoff.components import CONFIG, IMAGE_PARTS, TEXT_PARTS
from temu_vtoff.tryoff.conditioning import TEXT_TOKENS, encode_image
from temu_vtoff.tryoff.loading import LoadingOptions, load_components

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset
    from temu_vtoff.stages.options import Options

ENCODERS = {"all": (POOLED, CLIP, T5), "clip": (POOLED, CLIP), "t5": (T5,)}  # which features each choice makes
_UNUSED_BY = {"all": (), "clip": ("text_encoder_3", "tokenizer_3"), "t5": ("text_encoder", "text_encoder_2")}


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
    def load(cls, options: Options, which: str = "all") -> TextEncoder:
        """
        Args:
            options: The sources, device and precision.
            which: A key of `ENCODERS`; the other encoders are not loaded.

        Raises:
            CheckpointError: They can't be had.
        """
        parts = _load(options, [*REQUIRED, *IMAGE_PARTS, *_UNUSED_BY[which]])
        tryoff = options.sources.tryoff
        with explain_loading(tryoff, "the generator's configuration"):
            config = TryOffTransformer.load_config(resolve(tryoff, "tryoff"), subfolder="transformer")
        pipe = StableDiffusion3Pipeline(transformer=None, vae=None, scheduler=None, **_named(parts, TEXT_PARTS))
        pipe.to(choose_device(options.device))
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
class ImageEncoder:
    """The two vision encoders without the rest of the pipeline.

    Attributes:
        encoders: CLIP-L, CLIP-bigG.
        processor: Resizes and normalises for both.
        rescale_twice: As the pipeline's `rescale_clip_input_twice`.
    """

    encoders: Sequence[torch.nn.Module]
    processor: CLIPImageProcessor
    rescale_twice: bool

    @classmethod
    def load(cls, options: Options) -> ImageEncoder:
        """
        Args:
            options: The sources, device and precision.

        Raises:
            CheckpointError: They can't be had.
        """
        parts = _load(options, [*REQUIRED, *TEXT_PARTS], **options.image_encoders)
        device = choose_device(options.device)
        return cls(
            [parts[name].to(device) for name in IMAGE_ENCODERS],
            parts.get("feature_extractor", CLIPImageProcessor()),
            parts.get("rescale_clip_input_twice", CONFIG["rescale_clip_input_twice"]),
        )

    @torch.no_grad()
    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, P), as the pipeline computes it."""
        return encode_image(self.encoders, self.processor, image, self.rescale_twice)


@naming_killed_readers()
def encode_text_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    load_encoder: Callable[[], TextEncoder],
    store: TextFeatures,
    *,
    captions: Mapping[str, str],
    features: Sequence[str],
    dtype: torch.dtype,
    progress: Progress = iter,
) -> dict[Item, str]:
    """Writes the text features that are missing.

    Args:
        dataset: Loads no pictures.
        batches: See `each_batch`, as for `load_encoder` and `progress`.
        captions: By item id.
        features: Which; the encoder has what they need.
        dtype: Of the files.

    Returns:
        What was wrong with the items that got none.
    """
    batches = [list(batch) for batch in batches]
    without = [item for batch in batches for item in batch if item.id not in captions]
    failures = {item: f"{item.garment.name}: no caption" for item in without}
    steps = each_batch(
        dataset,
        [[item for item in batch if item not in failures] for batch in batches],
        is_done=lambda item: all(is_whole_feature(store.path(feature, item)) for feature in features),
        load_model=load_encoder,
        failures=failures,
        progress=progress,
    )

    def encode(encoder: TextEncoder, samples: Sequence[Sample]) -> list[dict[str, torch.Tensor]]:
        made = encoder([captions[sample.item.id] for sample in samples], features)
        return [{name: rows[number] for name, rows in made.items()} for number in range(len(samples))]

    for encoder, samples in steps:
        for sample, made in each_result(partial(encode, encoder), samples, failures):
            for feature, row in made.items():
                _save(row, store.path(feature, sample.item), dtype, sample.item, failures)
    return failures


def encode_empty_prompt(
    load_encoder: Callable[[], TextEncoder], store: TextFeatures, features: Sequence[str], dtype: torch.dtype
) -> None:
    """Writes what guidance needs, where it is missing.

    Raises:
        ValueError: The encoders' precision is too small for them.
    """
    paths = {feature: store.root / feature / EMPTY_PROMPT for feature in features}
    if all(map(is_whole_feature, paths.values())):
        return
    for feature, rows in load_encoder()([""], features).items():
        save_feature(_finite(rows[0], dtype), paths[feature])


@naming_killed_readers()
def encode_image_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    load_encoder: Callable[[], ImageEncoder],
    store: ImageFeatures,
    *,
    dtype: torch.dtype,
    num_workers: int = 0,
    progress: Progress = iter,
) -> dict[Item, str]:
    """Writes the image features that are missing.

    Args:
        dataset: Loads persons, at the size that the pipeline gets them in.
        batches: See `each_batch`, as for `load_encoder`, `num_workers` and `progress`.
        dtype: Of the files.

    Returns:
        What was wrong with the items that got none.
    """
    failures: dict[Item, str] = {}
    steps = each_batch(
        dataset,
        batches,
        is_done=store.has,
        load_model=load_encoder,
        failures=failures,
        num_workers=num_workers,
        progress=progress,
    )

    @torch.no_grad()
    def encode(encoder: ImageEncoder, samples: Sequence[Sample]) -> torch.Tensor:
        return encoder(torch.stack([to_tensor(sample.person) for sample in samples]))

    for encoder, samples in steps:
        for sample, row in each_result(partial(encode, encoder), samples, failures):
            _save(row, store.path(sample.item), dtype, sample.item, failures)
    return failures


def _save(row: torch.Tensor, path: Path, dtype: torch.dtype, item: Item, failures: dict[Item, str]) -> None:
    """Writes one feature of an item; one with values that aren't finite fails the item."""
    try:
        save_feature(_finite(row, dtype), path)
    except ValueError as error:
        failures[item] = one_sentence(error, item)


def _finite(row: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The feature as it goes on disk.

    Raises:
        ValueError: An encoder's precision, or the file's, is too small for it.
    """
    if not row.isfinite().all():
        encoded_in = str(row.dtype).removeprefix("torch.")
        raise ValueError(f"the embeddings are not finite in {encoded_in}: encode in bfloat16 or float32.")
    row = row.to(dtype)
    if not row.isfinite().all():
        raise ValueError("the embeddings are too large for files in float16: write bfloat16 or float32.")
    return row


def _load(options: Options, left_out: Sequence[str], **given: str) -> dict[str, Any]:
    sources = options.sources
    parts = load_components(
        sources.base,
        sources.tryoff,
        dict.fromkeys(left_out) | given,
        LoadingOptions(
            dtype=choose_dtype(options.precision, choose_device(options.device)),
            revision=options.revision,
            variant=options.variant,
        ),
    )
    return {name: part for name, part in parts.items() if part is not None}


def _named(parts: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: parts.get(name) for name in names}


def encoding_settings(options: Options, dtype: str, **sources: str) -> dict[str, str]:
    """What features depend on, for `keep_settings`.

    Args:
        options: The precision of the encoders.
        dtype: Of the files, by name.
        sources: What is encoded, and by which models.
    """
    encoded_in = choose_dtype(options.precision, choose_device(options.device))
    return {**sources, "encoded in": str(encoded_in), "dtype": dtype}

"""Text and image encoders without the rest of the pipeline.

Letters: B items, T tokens of one encoder, D width of the joint attention, P pooled width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers import StableDiffusion3Pipeline
from torch.nn import functional as F
from transformers import CLIPImageProcessor

from temu_vtoff.builtin import resolve
from temu_vtoff.datasets.features import CLIP, POOLED, T5
from temu_vtoff.hardware.devices import choose_device, choose_dtype
from temu_vtoff.hub.errors import explain_loading
from temu_vtoff.hub.sources import IMAGE_ENCODERS, REQUIRED
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.tryoff.components import CONFIG, IMAGE_PARTS, TEXT_PARTS
from temu_vtoff.tryoff.conditioning import TEXT_TOKENS, encode_image
from temu_vtoff.tryoff.loading import LoadingOptions, load_components

if TYPE_CHECKING:
    from temu_vtoff.stages.options import Options

ENCODERS = {"all": (POOLED, CLIP, T5), "clip": (POOLED, CLIP), "t5": (T5,)}  # which features each choice makes
_UNUSED_BY = {"all": (), "clip": ("text_encoder_3", "tokenizer_3"), "t5": ("text_encoder", "text_encoder_2")}


@dataclass(frozen=True)
class TextEncoder:
    """SD3's text encoders, both kinds or one.

    Attributes:
        pipe: SD3's pipeline with the text encoders only.
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
            CheckpointError: They can't be loaded.
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
        encoded = {}
        if CLIP in features:
            both = [self.pipe._get_clip_prompt_embeds(list(captions), clip_model_index=i) for i in (0, 1)]
            embeds = torch.cat([embeds for embeds, _ in both], dim=-1)
            encoded[CLIP] = F.pad(embeds, (0, self.width - embeds.shape[-1]))
            encoded[POOLED] = torch.cat([pooled for _, pooled in both], dim=-1)
        if T5 in features:
            if self.pipe.text_encoder_3 is None:  # the pipeline then uses zeros
                encoded[T5] = torch.zeros(len(captions), self.tokens, self.width)
            else:
                encoded[T5] = self.pipe._get_t5_prompt_embeds(
                    list(captions), max_sequence_length=self.tokens, dtype=self.pipe.text_encoder_3.dtype
                )
        return encoded


@dataclass(frozen=True)
class ImageEncoder:
    """The two vision encoders without the rest of the pipeline.

    Attributes:
        encoders: CLIP-L, CLIP-bigG.
        processor: Resizes and normalises for both.
        rescale_twice: The pipeline's `rescale_clip_input_twice`.
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
            CheckpointError: They can't be loaded.
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

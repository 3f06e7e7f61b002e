"""LoRA adapters: their scale for one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from diffusers.utils import scale_lora_layers, unscale_lora_layers

if TYPE_CHECKING:
    from temu_vtoff.tryoff.pipeline import TryOffPipeline


@contextmanager
def lora_scale(pipe: TryOffPipeline, joint_attention_kwargs: Mapping[str, Any] | None) -> Iterator[None]:
    """Scales the adapters of both transformers and of the text encoders while it lasts.

    Raises:
        ValueError: `joint_attention_kwargs` names something else than "scale".
    """
    kwargs = dict(joint_attention_kwargs or {})
    scale = kwargs.pop("scale", None)
    if kwargs:
        raise ValueError(f"joint_attention_kwargs takes scale alone, not {', '.join(map(str, kwargs))}.")
    adapted = (pipe.transformer, pipe.transformer_vton, pipe.text_encoder, pipe.text_encoder_2)
    models = [] if scale is None else [model for model in adapted if model is not None]
    for model in models:
        scale_lora_layers(model, scale)
    try:
        yield
    finally:
        for model in models:
            unscale_lora_layers(model, scale)

"""LoRA adapters: whether they fit, their alpha, and their scale for one call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.loaders import SD3LoraLoaderMixin
from diffusers.utils import scale_lora_layers, unscale_lora_layers
from torch import nn

from temu_vtoff.errors import check_finite, check_kind, first_few

_LORA = re.compile(r"\.(?:lora[._]|alpha$)")  # after the layers name


@contextmanager
def lora_scale(pipe: StableDiffusion3Pipeline, joint_attention_kwargs: Mapping[str, Any] | None) -> Iterator[None]:
    """Scales the adapters of both transformers and of the text encoders while it lasts.

    Raises:
        ArgumentError: `joint_attention_kwargs` is no mapping, or its scale no number.
        ValueError: It names something else than "scale".
    """
    check_kind("joint_attention_kwargs", joint_attention_kwargs, Mapping, 'a dictionary such as {"scale": 0.5}')
    kwargs = dict(joint_attention_kwargs or {})
    scale = kwargs.pop("scale", None)
    if kwargs:
        raise ValueError(f"joint_attention_kwargs takes scale alone, not {', '.join(map(str, kwargs))}.")
    check_finite("scale", scale)
    adapted = (pipe.transformer, pipe.transformer_vton, pipe.text_encoder, pipe.text_encoder_2)
    pipe._joint_attention_kwargs = joint_attention_kwargs
    models = [] if scale is None else [model for model in adapted if model is not None]
    for model in models:
        scale_lora_layers(model, scale)
    try:
        yield
    finally:
        for model in models:
            unscale_lora_layers(model, scale)


def unknown_keys(state_dict: Mapping[str, torch.Tensor], models: Mapping[str, nn.Module | None]) -> list[str]:
    """The keys of a LoRA that belong to no layer.

    Args:
        state_dict: Of a LoRA in diffusers' layout: "<component>.<layer>.lora_A.weight".
        models: The components that take adapters, by name.

    Raises:
        ValueError: All of the keys belong to no layer, or there are none.
    """
    layers = {
        f"{name}.{layer.replace('.base_layer', '')}"
        for name, model in models.items()
        if model is not None
        for layer, _ in model.named_modules()
    }
    unknown = [key for key in state_dict if _LORA.split(key)[0] not in layers]
    if len(unknown) == len(state_dict):
        raise ValueError(
            f"The LoRA is not one of this model: nothing of it fits ({first_few(unknown) or 'it is empty'})."
        )
    return unknown


def split_alphas(state_dict: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The weights of a LoRA, and by layer the alphas that some programs write among them."""
    alphas = {key.removesuffix(".alpha"): float(value) for key, value in state_dict.items() if key.endswith(".alpha")}
    return {key: value for key, value in state_dict.items() if not key.endswith(".alpha")}, alphas


def set_alphas(pipe: StableDiffusion3Pipeline, alphas: Mapping[str, float], adapter: str) -> None:
    """Gives the layers of an adapter the alphas that came with it: the adapter counts alpha / rank times."""
    for place, alpha in alphas.items():
        component, _, layer = place.partition(".")
        module = getattr(pipe, component).get_submodule(layer)
        module.lora_alpha[adapter] = alpha
        module.scaling[adapter] = alpha / module.r[adapter]


class SavesAlphas:
    """`save_lora_weights` of a pipeline: diffusers' own, and called on a pipeline it writes the adapters' settings too.

    Without them, whoever loads the file takes alpha for the rank.
    """

    def __get__(
        self, pipe: StableDiffusion3Pipeline | None, kind: type[StableDiffusion3Pipeline]
    ) -> Callable[..., None]:
        save = SD3LoraLoaderMixin.save_lora_weights
        return save if pipe is None else partial(self._save, pipe, save)

    @staticmethod
    def _save(
        pipe: StableDiffusion3Pipeline,
        save: Callable[..., None],
        save_directory: str | Path,
        transformer_lora_layers: Mapping[str, torch.Tensor] | None = None,
        **options: Any,
    ) -> None:
        options["transformer_lora_layers"] = transformer_lora_layers
        for name in pipe._lora_loadable_modules:
            configs = getattr(getattr(pipe, name), "peft_config", {})
            if options.get(f"{name}_lora_layers") and len(configs) == 1:
                (config,) = configs.values()
                options.setdefault(f"{name}_lora_adapter_metadata", config.to_dict())
        save(save_directory, **options)

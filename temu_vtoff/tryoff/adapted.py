"""SD3's pipeline with the life of LoRA adapters as it should be: what doesn't fit is refused, and alphas are kept."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusion3Pipeline

from temu_vtoff.errors import ArgumentError, check_kind, first_few
from temu_vtoff.tryoff.lora import SavesAlphas, set_alphas, split_alphas, unknown_keys
from temu_vtoff.tryoff.refused import RefusedDoors

logger = logging.getLogger(__name__)


class AdaptedPipeline(RefusedDoors, StableDiffusion3Pipeline):
    """The base of `TryOffPipeline`."""

    save_lora_weights = SavesAlphas()

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | Path | dict[str, torch.Tensor],
        adapter_name: str | None = None,
        hotswap: bool = False,
        **kwargs: Any,
    ) -> None:
        """As diffusers', but a LoRA that doesn't fit is refused by name, and alphas among the weights are kept.

        Keys that belong to no layer here are left out; a warning names them.

        Raises:
            ArgumentError: A name with a dot, which PyTorch takes for the path of a module.
            ValueError: All of its keys belong to no layer here.
        """
        check_kind("adapter_name", adapter_name, str, "a text")
        if adapter_name is not None and "." in adapter_name:
            raise ArgumentError(f"{{adapter_name}} is {adapter_name!r}; give a name without a dot.", "adapter_name")
        options = kwargs | {"return_lora_metadata": True}
        state_dict, metadata = self.lora_state_dict(pretrained_model_name_or_path_or_dict, **options)
        unknown = unknown_keys(state_dict, {name: getattr(self, name) for name in self._lora_loadable_modules})
        if unknown:
            logger.warning("%d of the LoRA's keys fit no layer: %s", len(unknown), first_few(unknown))
        known = {key: weight for key, weight in state_dict.items() if key not in unknown}
        weights, alphas = split_alphas(known)
        before = {name for names in self.get_list_adapters().values() for name in names}
        super().load_lora_weights((weights, metadata), adapter_name=adapter_name, hotswap=hotswap, **kwargs)
        if alphas:
            after = {name for names in self.get_list_adapters().values() for name in names}
            set_alphas(self, alphas, adapter_name or (after - before).pop())

    @classmethod
    def lora_state_dict(
        cls,
        pretrained_model_name_or_path_or_dict: str | Path | dict[str, torch.Tensor] | tuple[dict[str, Any], Any],
        **kwargs: Any,
    ) -> Any:
        """As diffusers'; weights with their settings, which `load_lora_weights` has read, are passed on."""
        if isinstance(pretrained_model_name_or_path_or_dict, tuple):
            return pretrained_model_name_or_path_or_dict
        return super().lora_state_dict(pretrained_model_name_or_path_or_dict, **kwargs)

    @classmethod
    def load_lora_into_transformer(cls, state_dict: dict[str, torch.Tensor], *args: Any, **kwargs: Any) -> None:
        """As diffusers', which warns where the LoRA has nothing for the transformer."""
        if _has(state_dict, cls.transformer_name):
            super().load_lora_into_transformer(state_dict, *args, **kwargs)

    @classmethod
    def load_lora_into_text_encoder(
        cls, state_dict: dict[str, torch.Tensor], *args: Any, prefix: str | None = None, **kwargs: Any
    ) -> None:
        """As diffusers', which warns where the LoRA has nothing for a text encoder."""
        if _has(state_dict, cls.text_encoder_name if prefix is None else prefix):
            super().load_lora_into_text_encoder(state_dict, *args, prefix=prefix, **kwargs)


def _has(state_dict: dict[str, torch.Tensor], component: str) -> bool:
    return any(key.startswith(f"{component}.") for key in state_dict)

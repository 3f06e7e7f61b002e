"""SD3's pipeline with the life of LoRA adapters as it should be: what doesn't fit is refused, and alphas are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusion3Pipeline

from temu_vtoff.tryoff.lora import (
    SavesAlphas,
    check_lora,
    set_alphas,
    split_alphas,
)
from temu_vtoff.tryoff.refused import RefusedDoors


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

        Raises:
            ValueError: Some or all of its keys belong to no layer here.
        """
        state_dict = self.lora_state_dict(pretrained_model_name_or_path_or_dict, **kwargs)
        state_dict, alphas = split_alphas(state_dict[0] if isinstance(state_dict, tuple) else state_dict)
        check_lora(state_dict, {name: getattr(self, name) for name in self._lora_loadable_modules})
        source = state_dict if alphas else pretrained_model_name_or_path_or_dict
        before = {name for names in self.get_list_adapters().values() for name in names}
        super().load_lora_weights(source, adapter_name=adapter_name, hotswap=hotswap, **kwargs)
        if alphas:
            after = {name for names in self.get_list_adapters().values() for name in names}
            set_alphas(self, alphas, adapter_name or (after - before).pop())

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

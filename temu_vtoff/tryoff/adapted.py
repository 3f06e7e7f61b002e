"""SD3's pipeline with the life of LoRA adapters as it should be: what doesn't fit is refused, alphas are kept, and a
pipeline saved with adapters loads again."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusion3Pipeline

from temu_vtoff.tryoff.lora import (
    SavesAlphas,
    check_lora,
    save_adapters,
    set_alphas,
    split_alphas,
    without_adapters,
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

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """As diffusers', and the generator's adapters beside its own weights; `from_pretrained` loads both.

        Raises:
            ValueError: There are fused adapters, or some of text encoders.
        """
        adapted = sorted(name for name, adapters in self.get_list_adapters().items() if adapters)
        if adapted and (adapted != ["transformer"] or self.num_fused_loras):
            raise ValueError(
                f"The adapters of {', '.join(adapted)} can't be saved with the pipeline, which keeps those of the "
                "transformer that are not fused: save them by save_lora_weights(), or call unload_lora_weights() first."
            )
        with without_adapters(self.transformer) if adapted else nullcontext():
            super().save_pretrained(save_directory, *args, **kwargs)
        if adapted:
            save_adapters(self, Path(save_directory))

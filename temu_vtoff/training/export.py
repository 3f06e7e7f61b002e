"""Writes trained weights in the published layout, `transformer/` and `transformer_vton/`, which the pipeline loads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
from diffusers.models.modeling_utils import ModelMixin
from peft.utils import get_peft_model_state_dict
from torch import nn
from transformers import CLIPImageProcessor, PreTrainedModel

from temu_vtoff.training.run_folder import write_folder


@dataclass(frozen=True)
class Exporter:
    """Writes the current weights of a run's models into a folder.

    Models that are not trained are written once, at the first export, so the folder is always complete.

    Args:
        models: The models by the names of their folders.
        scheduler: Written too, because sampling must use the shift of the training.
        dtype: Dtype of the weights on disk.
    """

    models: dict[str, ModelMixin | PreTrainedModel | CLIPImageProcessor]
    scheduler: FlowMatchEulerDiscreteScheduler
    dtype: torch.dtype = torch.float32

    def __call__(self, folder: Path) -> None:
        """Writes into `folder`; each of its subfolders is replaced whole or not at all."""
        write_folder(folder / "scheduler", self.scheduler.save_pretrained)
        for name, model in self.models.items():
            if getattr(model, "_hf_peft_config_loaded", False):
                export_lora(model, folder / f"{name}_lora")
            elif not isinstance(model, nn.Module):
                write_folder(folder / name, model.save_pretrained)
            elif any(p.requires_grad for p in model.parameters()) or not (folder / name).exists():
                export_model(model, folder / name, self.dtype)


def export_model(model: ModelMixin | PreTrainedModel, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Writes a model's current weights in a dtype, without the modules that training attached to the model."""
    with torch.device("meta"):
        new = type(model)._from_config if isinstance(model, PreTrainedModel) else type(model).from_config
        copy = new(model.config)
    copy.load_state_dict({k: v.detach().to("cpu", dtype) for k, v in model.state_dict().items()}, assign=True)
    write_folder(folder, copy.save_pretrained)


def export_lora(generator: ModelMixin, folder: Path) -> None:
    """Writes the generator's low-rank adapters as `TryOffPipeline.load_lora_weights` takes them."""
    layers = {k: v.detach().cpu() for k, v in get_peft_model_state_dict(generator).items()}
    write_folder(folder, lambda target: StableDiffusion3Pipeline.save_lora_weights(target, layers))

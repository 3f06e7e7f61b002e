"""LoRA adapters below a saved pipeline: their weights, and how much each of them counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.loaders import SD3LoraLoaderMixin
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE
from peft import get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import nn

from temu_vtoff.files import write_text
from temu_vtoff.hub.errors import CheckpointError, explain_loading

FOLDER, _STATE = "adapters", "state.json"  # below the pipeline's folder


def adapted_components(pipe: DiffusionPipeline) -> list[str]:
    """Names of the components with adapters, which can all be saved.

    Raises:
        ValueError: Some are fused, or of a component whose adapters can't be loaded.
    """
    adapted = [name for name, part in pipe.components.items() if getattr(part, "peft_config", None)]
    foreign = sorted(set(adapted) - set(pipe._lora_loadable_modules))
    if foreign:
        raise ValueError(
            f"The adapters of {', '.join(foreign)} can't be saved with the pipeline, which keeps those of "
            f"{', '.join(pipe._lora_loadable_modules)}: merge or delete them first."
        )
    if any(layer.merged for name in adapted for _, layer in _layers(getattr(pipe, name))):
        raise ValueError(
            f"The adapters of {', '.join(adapted)} can't be saved with the pipeline, which keeps those that are not "
            "fused: call unload_lora_weights() to keep the fused weights alone, or unfuse_lora() first."
        )
    return adapted


@contextmanager
def without_adapters(models: list[nn.Module]) -> Iterator[None]:
    """While it lasts, the state of the models is that of their own weights, under their own names."""

    def strip(module: nn.Module, state: dict[str, torch.Tensor], *_: Any) -> None:
        for key in list(state):
            value = state.pop(key)
            if ".lora_" not in key:
                state[key.replace(".base_layer.", ".")] = value

    with ExitStack() as stack:
        for model in models:
            stack.callback(model.register_state_dict_post_hook(strip).remove)
            if (flag := getattr(model, "_hf_peft_config_loaded", None)) is not None:
                model._hf_peft_config_loaded = False  # with it, transformers saves the adapters alone
                stack.callback(setattr, model, "_hf_peft_config_loaded", flag)
        yield


def save_adapters(pipe: DiffusionPipeline, components: list[str], folder: Path) -> None:
    """Writes the adapters of the components below `FOLDER`, and how much they count in each layer."""
    models = {name: getattr(pipe, name) for name in components}
    for adapter in {adapter: None for model in models.values() for adapter in model.peft_config}:
        holders = {name: model for name, model in models.items() if adapter in model.peft_config}
        _save_weights(pipe, adapter, holders, folder / FOLDER / adapter)
    state = {name: {place: _state(layer) for place, layer in _layers(model)} for name, model in models.items()}
    write_text(folder / FOLDER / _STATE, json.dumps(state, indent=1))


def load_adapters(pipe: DiffusionPipeline, folder: Path) -> None:
    """Loads what `save_adapters` wrote, if it wrote any.

    Raises:
        CheckpointError: A damaged or missing file.
    """
    path = folder / FOLDER / _STATE
    if not path.is_file():
        return
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        holders: dict[str, list[str]] = {}  # components by adapter
        for component, layers in state.items():
            for adapter in {name for layer in layers.values() for name in layer["alpha"]}:
                holders.setdefault(adapter, []).append(component)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path) from error
    for adapter, components in sorted(holders.items()):
        weights = folder / FOLDER / adapter
        with explain_loading(weights, "the adapter", "base"):
            _load_weights(pipe, adapter, components, weights)
    for component, layers in state.items():
        for place, layer in _layers(getattr(pipe, component)):
            try:
                _restore(layer, layers[place])
            except (KeyError, TypeError, ValueError) as error:
                raise _damaged(path) from error


def _save_weights(pipe: DiffusionPipeline, adapter: str, models: dict[str, Any], folder: Path) -> None:
    """Writes one adapter of several components: as SD3's one file, or a file for each component."""
    if not isinstance(pipe, SD3LoraLoaderMixin):
        for name, model in models.items():
            model.save_lora_adapter(folder, adapter, weight_name=f"{name}.safetensors")
        return
    weights: dict[str, Any] = {}
    for name, model in models.items():
        layers = get_peft_model_state_dict(model, adapter_name=adapter, save_embedding_layers=False)
        weights[f"{name}_lora_layers"] = layers
        weights[f"{name}_lora_adapter_metadata"] = model.peft_config[adapter].to_dict()
    pipe.save_lora_weights(folder, **weights)


def _load_weights(pipe: DiffusionPipeline, adapter: str, components: list[str], folder: Path) -> None:
    if isinstance(pipe, SD3LoraLoaderMixin):
        pipe.load_lora_weights(folder, adapter_name=adapter, weight_name=LORA_WEIGHT_NAME_SAFE)
        return
    for name in components:
        model = getattr(pipe, name)
        model.load_lora_adapter(folder, prefix=None, adapter_name=adapter, weight_name=f"{name}.safetensors")


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: copy it again, or delete {path.parent} to do without adapters.", "base")


def _restore(layer: LoraLayer, state: dict[str, Any]) -> None:
    layer.lora_alpha |= state["alpha"]
    layer.scaling |= state["scaling"]
    layer.set_adapter(state["active"])
    layer.enable_adapters(state["enabled"])


def _layers(model: nn.Module) -> Iterator[tuple[str, LoraLayer]]:
    return ((place, module) for place, module in model.named_modules() if isinstance(module, LoraLayer))


def _state(layer: LoraLayer) -> dict[str, Any]:
    return {
        "alpha": dict(layer.lora_alpha),
        "scaling": dict(layer.scaling),
        "active": layer.active_adapters,
        "enabled": not layer.disable_adapters,
    }

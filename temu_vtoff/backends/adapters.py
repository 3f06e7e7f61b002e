"""Loads LoRA adapters into a pipeline; one that fits no layer is refused."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from diffusers import DiffusionPipeline

from temu_vtoff.backends.lora import Lora
from temu_vtoff.backends.lora_files import local_file
from temu_vtoff.errors import first_few
from temu_vtoff.hub.errors import CheckpointError, explain_loading
from temu_vtoff.hub.loading import quiet

logger = logging.getLogger(__name__)


def load_loras(pipe: DiffusionPipeline, loras: Sequence[str]) -> None:
    """Loads adapters into a pipeline and sets their scales.

    Raises:
        CheckpointError: One can't be loaded, or fits no layer of the pipeline's models.
    """
    names, scales = [], []
    for number, lora in enumerate(map(Lora.parse, loras)):
        name = f"lora_{number}"
        with explain_loading(lora.source, "the LoRA", "lora"):
            keys = _load(pipe, lora, name)
        if not any(name in adapters for adapters in pipe.get_list_adapters().values()):
            raise CheckpointError(
                f"The LoRA {lora.source} (argument {{lora}}) fits no layer of a {type(pipe).__name__}: is it one of "
                f"another model? It begins with {first_few(keys, 1)}.",
                "lora",
            )
        names.append(name)
        scales.append(lora.scale)
    if names:
        pipe.set_adapters(names, scales)


def _load(pipe: DiffusionPipeline, lora: Lora, name: str) -> list[str]:
    """Loads an adapter under a name; returns the keys of its file, as diffusers reads them."""
    file = str(local_file(lora))
    found = pipe.lora_state_dict(file)
    weights = found[0] if isinstance(found, tuple) else found  # with alphas or metadata
    layers = {
        f"{part}.{layer.replace('.base_layer', '')}"
        for part in pipe._lora_loadable_modules
        if getattr(pipe, part, None) is not None
        for layer, _ in getattr(pipe, part).named_modules()
    }
    keys = list(weights)
    foreign = [key for key in keys if key.split(".lora")[0].removesuffix(".alpha") not in layers]
    if len(foreign) < len(keys):
        if foreign:
            logger.warning("%d of the LoRA %s's keys fit no layer: %s", len(foreign), lora.source, first_few(foreign))
        with quiet("diffusers"):  # it logs a paragraph for what is one sentence here
            try:
                pipe.load_lora_weights(file, adapter_name=name)
            except RuntimeError as error:
                if "size mismatch" not in str(error):
                    raise
                raise CheckpointError(
                    f"The LoRA {lora.source} (argument {{lora}}) is of a model of another width: its {keys[0]} "
                    f"doesn't fit the {type(pipe).__name__}.",
                    "lora",
                ) from error
    return keys

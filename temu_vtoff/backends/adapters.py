"""Loads LoRA adapters into a pipeline; one that fits no layer is refused, also before the pipeline is loaded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from accelerate import init_empty_weights
from diffusers import DiffusionPipeline, ModelMixin
from torch import nn

from temu_vtoff.backends.lora import Lora
from temu_vtoff.backends.lora_files import local_file
from temu_vtoff.errors import first_few
from temu_vtoff.hub.errors import CheckpointError, explain_loading
from temu_vtoff.hub.loading import quiet

logger = logging.getLogger(__name__)


def check_loras(
    loras: Sequence[str], pipeline: type[DiffusionPipeline], transformer: type[ModelMixin], where: str, **place: str
) -> None:
    """Compares adapters with the configuration of the transformer that they are for; downloads no weights of it.

    Args:
        pipeline: What the adapters are loaded into.
        transformer: Its class.
        where: Hub id or folder of the transformer.
        place: `subfolder`, and maybe `revision`.

    Raises:
        CheckpointError: One can't be had, fits no layer, or is of another width.
    """
    with explain_loading(where, "the transformer", "base"):
        config = transformer.load_config(where, **place)
        with init_empty_weights():
            model = transformer.from_config(config)
    for lora in map(Lora.parse, loras):
        with explain_loading(lora.source, "the LoRA", "lora"):
            weights = _weights(pipeline, lora)
            of_text = [key for key in weights if key.startswith("text_encoder")]
            if not of_text or len(of_text) < len(weights):  # what encoders make of theirs is known when they are loaded
                _check_fit(lora, weights, {"transformer": model}, pipeline)


def load_loras(pipe: DiffusionPipeline, loras: Sequence[str]) -> None:
    """Loads adapters into a pipeline and sets their scales.

    Raises:
        CheckpointError: One can't be loaded, or fits no layer of the pipeline's models.
    """
    names, scales = [], []
    for number, lora in enumerate(map(Lora.parse, loras)):
        name = f"lora_{number}"
        with explain_loading(lora.source, "the LoRA", "lora"):
            models = {part: getattr(pipe, part, None) for part in pipe._lora_loadable_modules}
            foreign = _check_fit(lora, _weights(type(pipe), lora), models, type(pipe))
            if foreign:
                logger.warning(
                    "%d of the LoRA %s's keys fit no layer: %s", len(foreign), lora.source, first_few(foreign)
                )
            # diffusers logs a paragraph, and try-off's pipeline a second time, for what is one sentence here
            with quiet("diffusers"), quiet("temu_vtoff.tryoff.adapted"):
                pipe.load_lora_weights(str(local_file(lora)), adapter_name=name)
        names.append(name)
        scales.append(lora.scale)
    if names:
        pipe.set_adapters(names, scales)


def _weights(pipeline: type[DiffusionPipeline], lora: Lora) -> dict[str, torch.Tensor]:
    """An adapter's weights under the names of diffusers."""
    found = pipeline.lora_state_dict(str(local_file(lora)))
    return found[0] if isinstance(found, tuple) else found  # with alphas or metadata


def _check_fit(
    lora: Lora,
    weights: Mapping[str, torch.Tensor],
    models: Mapping[str, nn.Module | None],
    pipeline: type[DiffusionPipeline],
) -> list[str]:
    """The keys that fit no layer of the models, which are given by component.

    Raises:
        CheckpointError: None of the keys fits, one is of another width, or a layer's matrices are no pair.
    """
    layers = {
        f"{part}.{place.replace('.base_layer', '')}": layer
        for part, model in models.items()
        if model is not None
        for place, layer in model.named_modules()
    }
    places = {key: key.split(".lora")[0].removesuffix(".alpha") for key in weights}
    foreign = [key for key, place in places.items() if place not in layers]
    if len(foreign) == len(weights):
        raise CheckpointError(
            f"The LoRA {lora.source} (argument {{lora}}) fits no layer of a {pipeline.__name__}: is it one of "
            f"another model? It {f'begins with {foreign[0]}' if foreign else 'is empty'}.",
            "lora",
        )
    for key, weight in weights.items():
        layer = layers.get(places[key])
        for ending, side, width in ((".lora_A.weight", 1, "in_features"), (".lora_B.weight", 0, "out_features")):
            expected = getattr(layer, width, None)
            if key.endswith(ending) and expected is not None and weight.shape[side : side + 1] != (expected,):
                raise CheckpointError(
                    f"The LoRA {lora.source} (argument {{lora}}) is of a model of another width: its {key} "
                    f"doesn't fit the {pipeline.__name__}.",
                    "lora",
                )
    known = {key: weight for key, weight in weights.items() if places[key] in layers}
    if (unsound := _unsound_layer(known)) is not None:
        raise CheckpointError(
            f"The LoRA {lora.source} (argument {{lora}}) is damaged or incomplete: its layer {unsound} has no pair of "
            "matrices of one rank.",
            "lora",
        )
    return foreign


def _unsound_layer(weights: Mapping[str, torch.Tensor]) -> str | None:
    """A layer without its two matrices (r, D) and (D', r) of floating point, or None."""
    for key in weights:
        if not key.endswith((down := ".lora_A.weight", up := ".lora_B.weight")):
            continue
        layer = key.removesuffix(down).removesuffix(up)
        pair = [weights.get(layer + ending) for ending in (down, up)]
        sound = all(one is not None and one.ndim >= 2 and one.is_floating_point() for one in pair)
        if not sound or pair[0].shape[0] != pair[1].shape[1]:
            return layer
    return None

"""Loading the try-on pipeline's components from one source: FitDiT's, or a folder that `save_pretrained` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from temu_vtoff.builtin import BUILTIN
from temu_vtoff.hub.model_files import read_json
from temu_vtoff.hub.sources import IMAGE_ENCODERS, TRYON, check_folders, read_index, tryon_folder
from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.pose_guider import READS, PoseGuider
from temu_vtoff.models.tryon_transformer import TryOnTransformer
from temu_vtoff.tryoff.loading import LoadingOptions, load_component

REQUIRED = (*TRYON, "vae", "scheduler")
OPTIONAL = ("pose_guider", *IMAGE_ENCODERS, "feature_extractor")
_DIFFUSERS = {
    "vae": AutoencoderKL,
    "transformer_garm": FeatureExtractor,
    "transformer_vton": TryOnTransformer,
}
MODELS = (*_DIFFUSERS, "pose_guider", *IMAGE_ENCODERS)


def load_components(
    source: str | Path, given: Mapping[str, Any] | None = None, options: LoadingOptions | None = None
) -> dict[str, Any]:
    """The arguments of `TryOnPipeline`, loaded; see its `from_pretrained` for the arguments here.

    Raises:
        CheckpointError: The source can't be had, is incomplete, or is a try-off model.
        TypeError: `given` names something that is no component.
    """
    parts, source = dict(given or {}), str(source)
    options = LoadingOptions(components=MODELS) if options is None else options
    if unknown := sorted({*parts} - {*REQUIRED, *OPTIONAL}):
        raise TypeError(f"TryOnPipeline has no component {', '.join(unknown)}.")
    for name in IMAGE_ENCODERS:  # may be given by name
        if isinstance(parts.get(name), (str, Path)):
            parts[name] = load_component(name, str(parts[name]), None, options)

    is_builtin, folders = source == BUILTIN, {name: tryon_folder(source, name) for name in (*REQUIRED, *OPTIONAL)}
    source = tryon_folder(source)
    own = _own_parts(source, read_index(source, options.revision) if Path(source).is_dir() else {})
    own += [name for name in (*IMAGE_ENCODERS, "feature_extractor") if is_builtin and name not in own]
    places = {name: (folders[name], name) for name in (*REQUIRED, *own)}
    places |= {name: (where, None) for name, where in IMAGE_ENCODERS.items() if name not in own}
    places = {name: place for name, place in places.items() if name not in parts}
    check_folders(places)
    of_others = replace(options, revision=None, variant=None)
    for name, (where, subfolder) in places.items():
        how = options if where == source else of_others
        if name == "pose_guider":  # published without a configuration
            place = {**how.hub, "subfolder": name, "torch_dtype": how.dtype_of(name) or torch.float32}
            parts[name] = PoseGuider.from_pretrained(where, revision=how.revision, **place)
        else:
            parts[name] = load_component(name, where, subfolder, how, models=_DIFFUSERS)
    return parts


def reads_joints(source: str | Path) -> bool:
    """Whether the model reads poses drawn from joints.

    Raises:
        CheckpointError: There is no such model, or the folder's index of components is damaged.
    """
    source = tryon_folder(str(source))
    if "pose_guider" not in _own_parts(source, read_index(source, None) if Path(source).is_dir() else {}):
        return False
    own = Path(source, "pose_guider", "config.json")
    return not own.is_file() or read_json(own, "the pose guider").get("reads", READS[0]) == READS[0]


def _own_parts(source: str, index: Mapping[str, Any]) -> list[str]:
    """The optional components that a source holds. The published one has a pose guider and no image encoders."""
    if not Path(source).is_dir():
        return ["pose_guider"]
    if index:
        return [name for name in OPTIONAL if isinstance(index.get(name), list) and index[name][1] is not None]
    return [name for name in OPTIONAL if (Path(source) / name).is_dir()]

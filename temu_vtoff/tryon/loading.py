"""Loading the try-on pipeline's components from one source: FitDiT's, or a folder that `save_pretrained` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from temu_vtoff.builtin import BUILTIN
from temu_vtoff.hub.model_files import read_json
from temu_vtoff.hub.sources import IMAGE_ENCODERS, TRYON, read_index, tryon_folder
from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.pose_guider import READS, PoseGuider
from temu_vtoff.models.tryon_transformer import TryOnTransformer
from temu_vtoff.tryoff.components import listed
from temu_vtoff.tryoff.loading import LoadingOptions, has_variant, load_component, load_each, take_given

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
    source, options = str(source), LoadingOptions(components=MODELS) if options is None else options
    parts = take_given(given or {}, (*REQUIRED, *OPTIONAL), options, "TryOnPipeline")
    is_builtin, folders = source == BUILTIN, {name: tryon_folder(source, name) for name in (*REQUIRED, *OPTIONAL)}
    source = tryon_folder(source)
    own = _own_parts(source)
    own += [name for name in (*IMAGE_ENCODERS, "feature_extractor") if is_builtin and name not in own]
    places = {name: (folders[name], name) for name in (*REQUIRED, *own)}
    places |= {name: (where, None) for name, where in IMAGE_ENCODERS.items() if name not in own}
    return parts | load_each(
        {name: place for name, place in places.items() if name not in parts}, source, options, load=_load
    )


def _load(name: str, where: str, subfolder: str | None, options: LoadingOptions) -> Any:
    if name != "pose_guider":
        return load_component(name, where, subfolder, options, models=_DIFFUSERS)
    place = {"revision": options.revision, "torch_dtype": options.dtype_of(name) or torch.float32, **options.hub}
    if options.variant is not None and has_variant(where, subfolder, options.variant):
        place["variant"] = options.variant
    return PoseGuider.from_pretrained(where, subfolder=subfolder, **place)  # published without a configuration


def reads_joints(source: str | Path) -> bool:
    """Whether the model reads poses drawn from joints.

    Raises:
        CheckpointError: There is no such model, or the folder's index of components is damaged.
    """
    source = tryon_folder(str(source))
    if "pose_guider" not in _own_parts(source):
        return False
    own = Path(source, "pose_guider", "config.json")
    return not own.is_file() or read_json(own, "the pose guider").get("reads", READS[0]) == READS[0]


def _own_parts(source: str) -> list[str]:
    """The optional components that a source holds. The published one has a pose guider and no image encoders."""
    return listed(source, read_index(source, None), OPTIONAL) if Path(source).is_dir() else ["pose_guider"]

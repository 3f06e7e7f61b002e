"""Sources of the models: hub ids, folders or "builtin"; the published ones belong together.

Reads configurations only, so that a script can report a mistake before torch is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download

from temu_vtoff.builtin import BUILTIN, resolve
from temu_vtoff.hub.errors import CheckpointError, explain_loading
from temu_vtoff.hub.model_files import read_json

PUBLISHED_BASE = "stabilityai/stable-diffusion-3-medium-diffusers"
PUBLISHED_TRYOFF = "davidelobba/TEMU-VTOFF"
PUBLISHED_TRYON = "BoyuanJiang/FitDiT"
PUBLISHED_SEGMENTER = "mattmdjaga/segformer_b2_clothes"
PUBLISHED_CAPTIONER = "Qwen/Qwen2.5-VL-3B-Instruct"
IMAGE_ENCODERS = {  # component -> the published model's encoder on the hub
    "image_encoder_large": "openai/clip-vit-large-patch14",
    "image_encoder_bigG": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
}
TRYOFF = ("transformer", "transformer_vton")
TRYON = ("transformer_vton", "transformer_garm")  # the denoiser first, as above
REQUIRED = (*TRYOFF, "vae", "scheduler")  # components that a pipeline can't do without


def complete_sources(base: str | None = None, tryoff: str | None = None) -> tuple[str, str]:
    """The base and the try-off source, with None filled in.

    Without any source, both are the built-in model. A folder that holds a whole pipeline is both sources. Otherwise
    the missing source is the published one.
    """
    if base is None and tryoff is None:
        return BUILTIN, BUILTIN
    if base is None:
        base = tryoff if _is_whole(tryoff) else PUBLISHED_BASE
    elif tryoff is None:
        tryoff = base if _is_whole(base) else PUBLISHED_TRYOFF
    return base, tryoff


def tryon_folder(source: str, part: str = TRYON[0]) -> str:
    """Where a part of a try-on model lies: hub id or folder. The built-in one shares what it lacks with try-off's.

    Raises:
        CheckpointError: The source is "builtin" and there is none, or it is the folder of a try-off model.
    """
    folder = Path(resolve(source, "tryon"))
    if source == BUILTIN:
        if not (folder / TRYON[0]).is_dir():
            raise CheckpointError(f"There is no built-in try-on model: name the published one, {PUBLISHED_TRYON}.")
        return str(folder) if (folder / part).is_dir() else resolve(source, "tryoff")
    if (folder / "transformer").is_dir() and not (folder / "transformer_garm").is_dir():
        raise CheckpointError(f"{source} holds a try-off model; try-on needs FitDiT's, such as {PUBLISHED_TRYON}.")
    return source


def read_index(where: str, revision: str | None = None, **hub: Any) -> dict[str, Any]:
    """The model_index.json of a whole pipeline; empty for a folder without it. `hub` goes to `hf_hub_download`."""
    if Path(where).is_dir() and not (Path(where) / "model_index.json").is_file():
        return {}
    return read_json(find_file(where, "model_index.json", "the model", revision, **hub), "the model")


def listed_components(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The components that a model_index.json names, each with its library and class."""
    return {name: tuple(kind) for name, kind in index.items() if isinstance(kind, list) and kind[1] is not None}


def find_file(where: str, file: str, what: str, revision: str | None = None, **hub: Any) -> Path:
    """Path of a file of a model, which is downloaded when it is on the hub.

    Args:
        where: Hub id or folder of the model.
        file: The file's path there.
        what: Name of the model in messages.
        hub: Arguments of `hf_hub_download`.

    Raises:
        CheckpointError: It can't be downloaded.
    """
    if Path(where).is_dir():
        return Path(where) / file
    with explain_loading(where, what):
        return Path(hf_hub_download(where, file, revision=revision, **hub))


def check_folders(sources: dict[str, tuple[str, str | None]]) -> None:
    """Checks that local sources have the subfolders of their components.

    Args:
        sources: Folder or hub id, and subfolder, by component.

    Raises:
        CheckpointError: Folders lack subfolders; all of them are named.
    """
    absent: dict[str, list[str]] = {}
    for where, subfolder in sources.values():
        if subfolder is not None and Path(where).is_dir() and not (Path(where) / subfolder).is_dir():
            absent.setdefault(where, []).append(f"{subfolder}/")
    if absent:
        lacks = "; ".join(f"{where} lacks {', '.join(sorted(parts))}" for where, parts in absent.items())
        raise CheckpointError(f"Not a complete checkpoint: {lacks}.")


def _is_whole(source: str | Path) -> bool:
    folder = Path(source)
    return source == BUILTIN or all((folder / part).is_dir() for part in REQUIRED)

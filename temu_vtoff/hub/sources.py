"""Sources of the models: the published ones, which belong together, and the size of a model's pictures.

Reads configurations only, so that a script can report a mistake before torch is imported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download

from temu_vtoff.builtin import BUILTIN, resolve
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.errors import CheckpointError, explain_loading
from temu_vtoff.hub.model_files import read_configuration, read_json

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
_SHAPE = ("sample_size", "patch_size", "pos_embed_max_size")  # values of a transformer that decide the size
ASPECT_RATIO = 3 / 4  # width to height of DressCode's and VITON-HD's pictures


@dataclass(frozen=True)
class WorkingSize:
    """The size that a model was trained at, and the other sizes that it accepts, in pixels.

    Attributes:
        width: Width that the model was trained at.
        height: Height that the model was trained at.
        multiple: Each side must be a multiple of this.
        largest: Longest side that the position embeddings allow.
    """

    width: int
    height: int
    multiple: int
    largest: int

    @classmethod
    def of(cls, vae_config: Mapping[str, Any], *transformer_configs: Mapping[str, Any]) -> WorkingSize:
        """Computed from the configurations of the VAE and of both transformers, the generator's first.

        Published: 768 x 1024, multiples of 16 up to 3072.
        """
        scale = 2 ** (len(vae_config["block_out_channels"]) - 1)
        patches = [config["patch_size"] for config in transformer_configs]
        multiple = scale * math.lcm(*patches)
        height = scale * transformer_configs[0]["sample_size"]
        tables = [config["pos_embed_max_size"] for config in transformer_configs]
        largest = scale * min(side * patch for side, patch in zip(tables, patches, strict=True))
        return cls(round(height * ASPECT_RATIO / multiple) * multiple, height, multiple, largest)

    def choose(self, width: int | None = None, height: int | None = None) -> tuple[int, int]:
        """The given width and height; None stands for the model's own.

        Raises:
            ArgumentError: Not a positive multiple of `multiple`, or larger than `largest`.
        """
        width = self.width if width is None else width
        height = self.height if height is None else height
        for name, value in (("width", width), ("height", height)):
            if value < self.multiple or value % self.multiple:
                nearest = max(self.multiple, round(value / self.multiple) * self.multiple)
                raise ArgumentError(
                    f"{{{name}}} {value} is not a multiple of {self.multiple}; the nearest is {nearest}.", name
                )
            if value > self.largest:
                raise ArgumentError(f"{{{name}}} {value} is too large for this model: {self.largest} at most.", name)
        return width, height


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


def read_working_size(base: str, tryoff: str, revision: str | None = None) -> WorkingSize:
    """The model's size, from its configurations alone, so that mistakes are reported before anything is loaded.

    Raises:
        CheckpointError: A source can't be loaded, or a configuration is damaged.
    """
    base, tryoff = resolve(base, "tryoff"), resolve(tryoff, "tryoff")
    check_folders({"vae": (base, "vae")} | {name: (tryoff, name) for name in TRYOFF})
    return _read_size(base, tryoff, names=TRYOFF, what="the try-off model", revision=revision)


def read_tryon_size(source: str) -> WorkingSize:
    """As `read_working_size`, for a try-on model.

    Raises:
        CheckpointError: The source can't be loaded, is none of a try-on model, or a configuration is damaged.
    """
    vae, source = tryon_folder(source, "vae"), tryon_folder(source)
    check_folders({"vae": (vae, "vae")} | {name: (source, name) for name in TRYON})
    return _read_size(vae, source, TRYON, "the try-on model")


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


def _read_size(base: str, source: str, names: Sequence[str], what: str, revision: str | None = None) -> WorkingSize:
    """The size from the configurations of the base's VAE and of the source's transformers of these names."""
    of_source = revision if source == base else None
    transformers = [
        read_configuration(_find(source, f"{name}/config.json", what, of_source), f"the {name}", _SHAPE)
        for name in names
    ]
    vae_file = _find(base, "vae/config.json", "the base model", revision)
    return WorkingSize.of(read_configuration(vae_file, "the vae", ["block_out_channels"]), *transformers)


def read_width(source: str, name: str = "transformer") -> int:
    """The denoiser's width D, from its configuration alone.

    Args:
        source: Of a try-off or try-on model.
        name: Of its denoiser.

    Raises:
        CheckpointError: The source can't be loaded, or the configuration is damaged.
    """
    source = resolve(source, "tryoff")
    check_folders({name: (source, name)})
    file = _find(source, f"{name}/config.json", "the model")
    config = read_configuration(file, f"the {name}", ["num_attention_heads", "attention_head_dim"])
    return config["num_attention_heads"] * config["attention_head_dim"]


def read_index(where: str, revision: str | None = None, **hub: Any) -> dict[str, Any]:
    """The model_index.json of a whole pipeline; empty for a folder without it. `hub` goes to `hf_hub_download`."""
    if Path(where).is_dir() and not (Path(where) / "model_index.json").is_file():
        return {}
    return read_json(_find(where, "model_index.json", "the model", revision, **hub), "the model")


def _find(where: str, file: str, what: str, revision: str | None = None, **hub: Any) -> Path:
    """Path of a file of a model, which is downloaded when it is on the hub."""
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

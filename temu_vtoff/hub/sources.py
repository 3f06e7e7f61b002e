"""Where the try-off model comes from: the published sources, what goes with what, and how large its pictures are.

Reads configurations only, so that a script can tell what is wrong before anything heavy is imported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temu_vtoff.builtin import BUILTIN, resolve
from temu_vtoff.hub.errors import CheckpointError, explain_loading

PUBLISHED_BASE = "stabilityai/stable-diffusion-3-medium-diffusers"
PUBLISHED_TRYOFF = "davidelobba/TEMU-VTOFF"
PUBLISHED_SEGMENTER = "mattmdjaga/segformer_b2_clothes"
PUBLISHED_CAPTIONER = "Qwen/Qwen2.5-VL-3B-Instruct"
IMAGE_ENCODERS = {  # of the published model, on the hub
    "image_encoder_large": "openai/clip-vit-large-patch14",
    "image_encoder_bigG": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
}
TRYOFF = ("transformer", "transformer_vton")
REQUIRED = (*TRYOFF, "vae", "scheduler")  # of a whole pipeline
ASPECT_RATIO = 3 / 4  # width to height of DressCode's and VITON-HD's pictures


@dataclass(frozen=True)
class WorkingSize:
    """The size that a model was made for, in pixels, and which others it takes.

    Attributes:
        multiple: What each side must be a multiple of.
        largest: What each side may be at most, by the position embeddings.
    """

    width: int
    height: int
    multiple: int
    largest: int

    @classmethod
    def of(cls, vae_config: Mapping[str, Any], *transformer_configs: Mapping[str, Any]) -> WorkingSize:
        """Read off the VAE's and both transformers' configurations, the generator's first.

        The published model's is 768 x 1024, multiples of 16 up to 3072.
        """
        scale = 2 ** (len(vae_config["block_out_channels"]) - 1)
        patches = [config["patch_size"] for config in transformer_configs]
        multiple = scale * math.lcm(*patches)
        height = scale * transformer_configs[0]["sample_size"]
        tables = [config["pos_embed_max_size"] for config in transformer_configs]
        largest = scale * min(side * patch for side, patch in zip(tables, patches, strict=True))
        return cls(round(height * ASPECT_RATIO / multiple) * multiple, height, multiple, largest)

    def choose(self, width: int | None = None, height: int | None = None) -> tuple[int, int]:
        """Width and height as wanted, else the model's own.

        Raises:
            ValueError: Not a positive multiple of `multiple`, and then the message says the nearest that is; or larger
                than `largest`.
        """
        width = self.width if width is None else width
        height = self.height if height is None else height
        for name, value in (("width", width), ("height", height)):
            if value < self.multiple or value % self.multiple:
                nearest = max(self.multiple, round(value / self.multiple) * self.multiple)
                raise ValueError(f"{name} {value} is not a multiple of {self.multiple}; the nearest is {nearest}.")
            if value > self.largest:
                raise ValueError(f"{name} {value} is more than this model can place: {self.largest} at most.")
        return width, height


def complete_sources(base: str | None = None, tryoff: str | None = None) -> tuple[str, str]:
    """The base and the try-off source when one of them, or both, are left open.

    Neither is the built-in model. A base that is a whole pipeline stands alone; otherwise one of the two published
    sources goes with what is named.
    """
    if base is None and tryoff is None:
        return BUILTIN, BUILTIN
    if tryoff is None:
        return base, base if _is_whole(base) else PUBLISHED_TRYOFF
    return (tryoff if _is_whole(tryoff) else PUBLISHED_BASE) if base is None else base, tryoff


def read_working_size(base: str, tryoff: str, revision: str | None = None) -> WorkingSize:
    """The model's size from its configurations alone: cheap, and tells early when a source can't be had.

    Raises:
        CheckpointError: As for `load_components`.
    """
    base, tryoff = resolve(base, "tryoff"), resolve(tryoff, "tryoff")
    check_folders({"vae": (base, "vae")} | {name: (tryoff, name) for name in TRYOFF})
    with explain_loading(tryoff, "the try-off model"):
        of_base = {"revision": revision} if tryoff == base else {}
        transformers = [_read_json(tryoff, f"{name}/config.json", **of_base) for name in TRYOFF]
    with explain_loading(base, "the base model"):
        vae = _read_json(base, "vae/config.json", revision)
    return WorkingSize.of(vae, *transformers)


def read_index(where: str, revision: str | None = None) -> dict[str, Any]:
    """A whole pipeline's model_index.json; empty for a folder without one."""
    if Path(where).is_dir() and not (Path(where) / "model_index.json").is_file():
        return {}
    with explain_loading(where, "the model"):
        return _read_json(where, "model_index.json", revision)


def _read_json(where: str, file: str, revision: str | None = None) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download

    path = Path(where) / file if Path(where).is_dir() else Path(hf_hub_download(where, file, revision=revision))
    return json.loads(path.read_text(encoding="utf-8"))


def check_folders(sources: dict[str, tuple[str, str | None]]) -> None:
    """Before anything is loaded: every part of a local source must be there; all that are missing are named at once."""
    absent: dict[str, list[str]] = {}
    for where, subfolder in sources.values():
        if subfolder is not None and Path(where).is_dir() and not (Path(where) / subfolder).is_dir():
            absent.setdefault(where, []).append(f"{subfolder}/")
    if absent:
        lacks = "; ".join(f"{where} lacks {', '.join(sorted(parts))}" for where, parts in absent.items())
        raise CheckpointError(f"Not a complete checkpoint: {lacks}.")


def _is_whole(source: str) -> bool:
    folder = Path(source)
    return source == BUILTIN or all((folder / part).is_dir() for part in REQUIRED)

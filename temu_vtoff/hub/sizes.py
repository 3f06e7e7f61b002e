"""The size of a model's pictures, and its width, from its configurations alone: before torch is imported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from temu_vtoff.builtin import resolve
from temu_vtoff.errors import ArgumentError, check_kind
from temu_vtoff.hub.model_files import read_configuration
from temu_vtoff.hub.sources import TRYOFF, TRYON, check_folders, find_file, tryon_folder

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
            check_kind(name, value, Integral, "a whole number")
            if value < self.multiple or value % self.multiple:
                nearest = max(self.multiple, round(value / self.multiple) * self.multiple)
                raise ArgumentError(
                    f"{{{name}}} {value} is not a multiple of {self.multiple}; the nearest is {nearest}.", name
                )
            if value > self.largest:
                raise ArgumentError(f"{{{name}}} {value} is too large for this model: {self.largest} at most.", name)
        return width, height


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
    file = find_file(source, f"{name}/config.json", "the model")
    config = read_configuration(file, f"the {name}", ["num_attention_heads", "attention_head_dim"])
    return config["num_attention_heads"] * config["attention_head_dim"]


def _read_size(base: str, source: str, names: Sequence[str], what: str, revision: str | None = None) -> WorkingSize:
    """The size from the configurations of the base's VAE and of the source's transformers of these names."""
    of_source = revision if source == base else None
    transformers = [
        read_configuration(find_file(source, f"{name}/config.json", what, of_source), f"the {name}", _SHAPE)
        for name in names
    ]
    vae_file = find_file(base, "vae/config.json", "the base model", revision)
    return WorkingSize.of(read_configuration(vae_file, "the vae", ["block_out_channels"]), *transformers)

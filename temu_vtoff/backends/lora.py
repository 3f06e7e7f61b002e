"""LoRA adapters by name: FILE_OR_ID[:WEIGHT_NAME][@SCALE]; light, because `Options` reads it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from temu_vtoff.errors import ArgumentError, first_few
from temu_vtoff.hub.errors import CheckpointError

USUAL_NAME = "pytorch_lora_weights.safetensors"  # diffusers' name


@dataclass(frozen=True)
class Lora:
    """An adapter: file, folder or hub id; the file's name there, if there are several; and how strongly it counts."""

    source: str
    weight_name: str | None = None
    scale: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Lora:
        """
        Raises:
            ArgumentError: No source, or a scale that is no finite number.
        """
        source, at, scale_text = text.rpartition("@")
        if not at or Path(text).exists():
            source, scale_text = text, "1"
        try:
            scale = float(scale_text)
        except ValueError:
            scale = math.nan
        if not math.isfinite(scale):
            raise ArgumentError(f"{{lora}} {text!r}: the scale {scale_text!r} is no finite number.", "lora")
        weight_name = None
        if not Path(source).exists() and ":" in source:
            source, weight_name = source.rsplit(":", 1)
        if not source or weight_name == "":
            raise ArgumentError(f"{{lora}} is {text!r}; give FILE_OR_ID[:WEIGHT_NAME][@SCALE].", "lora")
        return cls(source, weight_name, scale)


def find_file(lora: Lora, names: Sequence[str]) -> str:
    """The adapter's file among the names of a folder or a repository.

    Raises:
        CheckpointError: It is not there, or there are several to choose from.
    """
    found = [name for name in names if name.endswith(".safetensors")]
    if lora.weight_name is None and len(found) > 1 and USUAL_NAME in found:
        return USUAL_NAME
    chosen = found if lora.weight_name is None else [name for name in names if name == lora.weight_name]
    if len(chosen) == 1:
        return chosen[0]
    there = f"there are {first_few(found, 10)}" if found else "there is no .safetensors file"
    raise CheckpointError(
        f"The LoRA {lora.source} needs the name of its file, {{lora}} {lora.source}:WEIGHT_NAME; {there}.", "lora"
    )

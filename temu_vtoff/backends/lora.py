"""LoRA adapters by name: FILE_OR_ID[:WEIGHT_NAME][@SCALE]; light, because `Options` reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from temu_vtoff.errors import ArgumentError


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

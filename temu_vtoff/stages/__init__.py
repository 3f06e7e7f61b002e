"""Segment, caption, generate: the three stages over many photos, and the options that they take."""

from typing import TYPE_CHECKING

from temu_vtoff.lazy import lazy_names

if TYPE_CHECKING:
    from temu_vtoff.stages.garment import Garment, Product
    from temu_vtoff.stages.options import Options
    from temu_vtoff.stages.tryoff import TryOff

__all__ = ["Garment", "Options", "Product", "TryOff"]

_HOMES = {"Garment": "garment", "Options": "options", "Product": "garment", "TryOff": "tryoff"}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)

"""The stages of try-off and try-on over many photos, and their options."""

from typing import TYPE_CHECKING

from temu_vtoff.lazy import lazy_names

if TYPE_CHECKING:
    from temu_vtoff.stages.fitting_room import Person, TryOnResult
    from temu_vtoff.stages.garment import Garment, Product
    from temu_vtoff.stages.options import Options
    from temu_vtoff.stages.quality import Quality
    from temu_vtoff.stages.selection import Selection
    from temu_vtoff.stages.tryoff import TryOff
    from temu_vtoff.stages.tryon import TryOn
    from temu_vtoff.stages.tryon_options import TryOnOptions

__all__ = [
    "Garment",
    "Options",
    "Person",
    "Product",
    "Quality",
    "Selection",
    "TryOff",
    "TryOn",
    "TryOnOptions",
    "TryOnResult",
]

_HOMES = {
    "Garment": "garment",
    "Options": "options",
    "Person": "fitting_room",
    "Product": "garment",
    "Quality": "quality",
    "Selection": "selection",
    "TryOff": "tryoff",
    "TryOn": "tryon",
    "TryOnOptions": "tryon_options",
    "TryOnResult": "fitting_room",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)

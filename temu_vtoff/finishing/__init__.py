"""Finishing of product pictures: background, opacity, frame and file. `Finish` says what is done."""

from typing import TYPE_CHECKING

from temu_vtoff.lazy import lazy_names

if TYPE_CHECKING:
    from temu_vtoff.finishing.cutting import Cutout, cut_out
    from temu_vtoff.finishing.finish import Finish
    from temu_vtoff.finishing.picture import finish_picture

__all__ = ["Cutout", "Finish", "cut_out", "finish_picture"]

_HOMES = {"Cutout": "cutting", "cut_out": "cutting", "Finish": "finish", "finish_picture": "picture"}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)

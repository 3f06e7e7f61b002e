"""The label maps that DressCode's and VITON-HD's files hold: their ids and their names."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from temu_vtoff.errors import ArgumentError
from temu_vtoff.segmentation.labels import ATR, VITON_HD, Labels


@dataclass(frozen=True)
class Layout:
    """A dataset's label maps.

    Attributes:
        labels: What their ids stand for.
        name: The name of a photo's label map, from the photo's stem.
    """

    labels: Labels
    name: Callable[[str], str]


LAYOUTS = {
    "dresscode": Layout(ATR, lambda stem: f"{re.sub(r'_0$', '', stem)}_4.png"),
    "vitonhd": Layout(VITON_HD, lambda stem: f"{stem}.png"),
}


def check_layout(layout: str) -> None:
    """
    Raises:
        ArgumentError: An unknown layout.
    """
    if layout not in LAYOUTS:
        raise ArgumentError(f"{{label_maps}} is {layout!r}; choose one of {', '.join(LAYOUTS)}.", "label_maps")

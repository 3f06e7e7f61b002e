"""The label maps that DressCode's and VITON-HD's files hold: their ids and their names."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from temu_vtoff.errors import ArgumentError, check_choice
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


def check_place(layout: str, out_dir: Path, photos: Path) -> None:
    """Checks that label maps don't come among the photos: under a photo's name they would replace it, and the next
    run would take the others for photos.

    Args:
        layout: A key of `LAYOUTS`.
        out_dir: Folder of the label maps.
        photos: A photo, or a folder of photos and its subfolders.

    Raises:
        ArgumentError: They would.
    """
    check_layout(layout)
    if photos.is_dir():
        among = out_dir.resolve().is_relative_to(photos.resolve())
    else:
        among = (out_dir / LAYOUTS[layout].name(photos.stem)).resolve() == photos.resolve()
    if among:
        raise ArgumentError(
            f"{{label_maps}} would come among the photos in {out_dir}: give another {{out_dir}}.",
            *("label_maps", "out_dir"),
        )


def check_layout(layout: str) -> None:
    """
    Raises:
        ArgumentError: An unknown layout.
    """
    check_choice("label_maps", layout, LAYOUTS)

"""Label maps in the ids of DressCode and VITON-HD, made of any segmenter's."""

import colorsys

import numpy as np
from PIL import Image

from temu_vtoff.segmentation.details import join_details
from temu_vtoff.segmentation.labels import Labels
from temu_vtoff.segmentation.layouts import LAYOUTS, check_layout

# Parts that a layout may lack, with those that stand for them; of several, one that the picture shows.
_STANDS_FOR = {
    "outer": ("top",),
    "belt": ("dress", "pants", "skirt"),
    "torso": ("face",),
    "hands": ("arms",),
    "gloves": ("arms",),
    "feet": ("legs",),
    "socks": ("legs",),
}


def convert_label_map(label_map: np.ndarray, labels: Labels, layout: str) -> Image.Image:
    """A label map in a dataset's ids.

    Arms, legs and shoes whose label names no side are parted in the middle of the person, who faces the camera. What
    the layout has no id for, such as jewelry, becomes background.

    Args:
        label_map: (H, W), ids of `labels`, of one person.
        layout: A key of `LAYOUTS`.

    Returns:
        P, (W, H): the ids of `LAYOUTS[layout].labels`, each with a colour.

    Raises:
        ArgumentError: An unknown layout.
    """
    check_layout(layout)
    target = LAYOUTS[layout].labels
    label_map = join_details(label_map, labels)
    shown = {labels.parts[i] for i in np.unique(label_map)}
    columns = np.nonzero(np.isin(label_map, labels.of_people))[1]
    middle = np.median(columns) if len(columns) else 0
    on_the_left = np.arange(label_map.shape[1]) > middle  # the person's left is on the picture's right
    result = np.zeros(label_map.shape, np.uint8)
    for index, part in enumerate(labels.parts):
        ids = _target_ids(part, target, shown)
        if not ids:
            continue
        pixels = label_map == index
        if len(ids) == 1:
            result[pixels] = ids[None]
        elif labels.sides[index] is not None:
            result[pixels] = ids[labels.sides[index]]
        else:
            result[pixels & on_the_left] = ids["left"]
            result[pixels & ~on_the_left] = ids["right"]
    picture = Image.fromarray(result, mode="P")
    picture.putpalette(_palette(len(target)))
    return picture


def _target_ids(part: str | None, target: Labels, shown: set[str | None]) -> dict[str | None, int]:
    """The ids that stand for a part, by side; none for a part that the target lacks."""
    if part is None or part == "background":
        return {}
    if not target.ids(part):
        instead = [name for name in _STANDS_FOR.get(part, ()) if target.ids(name)]
        part = next((name for name in instead if name in shown), instead[0] if instead else None)
    return {target.sides[i]: i for i in target.ids(*[part] if part is not None else [])}


def _palette(count: int) -> list[int]:
    """Black, then hues that differ most between neighbours."""
    colors = [colorsys.hsv_to_rgb(index * 0.618 % 1, 0.65, 0.95) for index in range(1, count)]
    return [0, 0, 0] + [round(255 * level) for color in colors for level in color]

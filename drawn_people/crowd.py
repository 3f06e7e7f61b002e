"""Several drawn people side by side in one photo, with the label map of each."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from drawn_people.attributes import CATEGORIES
from drawn_people.backgrounds import paint_background
from drawn_people.canvas import Canvas
from drawn_people.patterns import PLAIN_SHARE
from drawn_people.person import stage_person

_APART, _CLOSE = 132.0, 66.0  # between neighbours, in figure units: arms apart; arms overlapping
_ASIDE = 75.0  # from the outermost people to the frame
_FLOOR = 240.0  # of 256 rows
_SOLES = 187.0  # figure units below the base of the neck
_SIZES = (0.72, 1.0)  # of a person who fills the height of the photo


@dataclass(frozen=True, eq=False)
class DrawnCrowd:
    """People in one photo, from left to right.

    Attributes:
        photo: RGB.
        label_map: L, the ids of `DrawnPerson.label_map`, of all people together.
        label_maps: The same of each person: what the photo shows of them.
        heights: Of each person, as a share of the tallest possible.
    """

    photo: Image.Image
    label_map: Image.Image
    label_maps: list[Image.Image]
    heights: list[float]


def draw_crowd(
    seed: int, count: int = 2, overlapping: bool = False, height: int = 256, layers: bool = False
) -> DrawnCrowd:
    """Draws whole people of different sizes; the photo is as wide as they need.

    Args:
        seed: 0 or more.
        count: Number of people, 1 or more.
        overlapping: Whether neighbours stand so close that their arms overlap; those on the right are in front.
        height: In pixels, at least 128.
        layers: Whether everybody wears an open jacket.

    Raises:
        ValueError: Impossible count or height, or a negative seed.
    """
    if count < 1 or height < 128 or seed < 0:
        raise ValueError(f"{count} people, {height} pixels, seed {seed}: give at least 1, 128 and 0.")
    rng = np.random.default_rng([seed, count, 77])
    step = _CLOSE if overlapping else _APART
    canvas = Canvas(round((2 * _ASIDE + step * (count - 1)) * height / 256), height)
    canvas.place(height / 256, (0.0, 0.0))
    paint_background(canvas, rng, _FLOOR)
    maps, heights = [], []
    for number in range(count):
        size = float(rng.uniform(*_SIZES))
        category = str(rng.choice(CATEGORIES))
        person = stage_person(int(rng.integers(2**40)), category, 192, 256, PLAIN_SHARE, layers=layers)
        person.zoom = size
        person.offset = np.array([_ASIDE + step * number, _FLOOR - _SOLES * size])
        canvas.labels[:] = 0
        person.paint(canvas)
        for earlier in maps:
            earlier[canvas.labels > 0] = 0
        maps.append(canvas.labels.copy())
        heights.append(size)
    return DrawnCrowd(
        canvas.image(), Image.fromarray(np.sum(maps, 0, np.uint8)), [*map(Image.fromarray, maps)], heights
    )

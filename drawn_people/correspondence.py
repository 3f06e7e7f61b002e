"""Where the photo shows each point of a product picture: both are drawn again, in cloth coloured by its coordinates."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from drawn_people.canvas import Canvas
from drawn_people.garments import paint_flat
from drawn_people.panels import Cloth
from drawn_people.patterns import PLAIN_SHARE
from drawn_people.person import stage_person

CELL = 8  # pixels along each side of a cell with one pair of coordinates
_NEAR = 1.5  # figure units; closer points of the cloth count as the same
_FRONT, _LIMB = 260.0, 300.0  # beyond every colour


@dataclass
class _Chart(Cloth):
    """Cloth whose colour is its position: U, V and the kind of panel (patterns continue between panels of a kind)."""

    def colors(self, u: np.ndarray, v: np.ndarray, light: np.ndarray, main: bool = True) -> np.ndarray:
        return np.stack([u, v, np.full_like(u, _FRONT if main else _LIMB)], axis=1)


def draw_correspondence(
    seed: int,
    category: str,
    width: int = 192,
    height: int = 256,
    plain: float = PLAIN_SHARE,
    layers: bool = False,
    letters: bool = False,
) -> np.ndarray:
    """Where the photo shows the middle of each cell of CELL x CELL pixels of the product picture.

    Args:
        As for `draw_person`.

    Returns:
        float32 (height / CELL, width / CELL, 2), sides rounded: x and y as shares of the photo's width and height, in
        [0, 1]; NaN outside the garment, and where the photo doesn't show that point of the cloth.

    Raises:
        ValueError: As for `draw_person`.
    """
    person = stage_person(seed, category, width, height, plain, _Chart, layers=layers, letters=letters)
    photo, product = Canvas(width, height), Canvas(width, height)
    person.paint(photo)
    design = person.designs[category]
    paint_flat(product, design, person.body, _Chart)

    return _found(product, product.labels > 0, photo, photo.labels == design.label)


def draw_try_on_correspondence(
    person: int, garment: int, category: str, width: int = 192, height: int = 256, plain: float = PLAIN_SHARE
) -> np.ndarray:
    """Where the product picture shows the middle of each cell of the photo of `draw_try_on`.

    Args:
        As for `draw_try_on`.

    Returns:
        As `draw_correspondence`, but cells of the photo, and shares of the product picture's width and height.

    Raises:
        ValueError: As for `draw_try_on`.
    """
    wearer = stage_person(garment, category, width, height, plain, _Chart)
    design = wearer.designs[category]
    photo, product = Canvas(width, height), Canvas(width, height)
    stage_person(person, category, width, height, plain).dressed_in(design, height, _Chart).paint(photo)
    paint_flat(product, design, wearer.body, _Chart)
    return _found(photo, photo.labels == design.label, product, product.labels > 0)


def _found(wanted: Canvas, shown: np.ndarray, searched: Canvas, cloth: np.ndarray) -> np.ndarray:
    """Where one picture in charted cloth shows the cells of another.

    Args:
        wanted: Its cells are looked for.
        shown: (H, W) bool, its cloth.
        searched: The picture that is searched.
        cloth: (H, W) bool, its cloth.
    """
    height, width = shown.shape
    rows, columns = np.nonzero(cloth)
    middles = np.ix_(*(_middles(side, round(side / CELL)) for side in (height, width)))
    colors = wanted.rgb[middles]  # (height / CELL, width / CELL, 3)
    coords = np.full((*colors.shape[:2], 2), np.nan, np.float32)
    if len(rows) == 0:
        return coords
    distance, nearest = cKDTree(searched.rgb[rows, columns]).query(colors, distance_upper_bound=_NEAR)
    seen = shown[middles] & (distance < _NEAR)
    found = nearest[seen]
    coords[seen] = (np.stack([columns[found], rows[found]], axis=1) + 0.5) / (width, height)
    return coords


def _middles(side: int, cells: int) -> np.ndarray:
    """The pixels in the middle of so many cells along a side: (cells,)."""
    return (2 * np.arange(cells) + 1) * side // (2 * cells)

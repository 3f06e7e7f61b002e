"""What in a photo makes a good product picture unlikely, in plain sentences."""

from __future__ import annotations

import numpy as np
import scipy
from PIL import Image

from temu_vtoff.pictures import unfit_mask
from temu_vtoff.pictures.masks import NEARLY_ALL
from temu_vtoff.segmentation.labels import ATR, Labels

LEAST_PIXELS = 96  # of a garment's longer side in the photo
LEAST_OF_MODEL = 4  # the model's height divided by this is enough for small models
LEAST_AREA = 0.01  # of the photo
FROM_BEHIND = "the person is seen from behind: the garment's front is a guess."
BLURRED = "the photo is blurred."
_CUT = 0.03  # share of a side of the photo that the garment touches
_FACE, _HAIR = 0.0005, 0.002  # shares of the photo; more shows a face, or the back of a head
_HEIGHT = 256  # pixels; blur is measured at this size
_BLUR = 1.5  # pixels; deviation of the Gaussian that blurs edges
_EDGES = 98  # percentile of the gradient from which pixels count as edges
_CONTRAST = 4  # least gradient of an edge, levels per pixel; a photo without edges is not called blurred


def photo_warnings(
    photo: Image.Image,
    mask: Image.Image,
    *,
    size: tuple[int, int],
    resize_mode: str = "pad",
    label_map: np.ndarray | None = None,
    labels: Labels = ATR,
    may_cover_all: bool = False,
) -> list[str]:
    """One sentence for each doubt about a garment in a photo.

    Args:
        photo: RGB, fitted to the model's size.
        mask: L, 255 on the garment, fitted like the photo.
        size: Width and height of the photo as it came, upright.
        resize_mode: How it was fitted.
        label_map: (H, W) ids of `labels`; without it, nobody is seen from behind.
        labels: What the ids stand for.
        may_cover_all: A mask that covers nearly everything says nothing about the garment.
    """
    own = unfit_mask(mask, size) if resize_mode == "pad" else mask.resize(size, Image.Resampling.NEAREST)
    worn = np.asarray(own) > 127
    if not worn.any():
        return []
    if may_cover_all and worn.mean() > NEARLY_ALL:
        return [BLURRED] if blur_of(photo) > _BLUR else []
    found = []
    if label_map is not None and is_from_behind(label_map, labels):
        found.append(FROM_BEHIND)
    if sides := _cut_sides(worn):
        found.append(f"the garment is cut off at the {' and the '.join(sides)} of the photo.")
    if worn.mean() < LEAST_AREA:
        found.append(f"the garment covers only {100 * worn.mean():.1f}% of the photo.")
    left, top, right, bottom = Image.fromarray(worn).getbbox()
    if (longer := max(right - left, bottom - top)) < min(LEAST_PIXELS, photo.height // LEAST_OF_MODEL):
        found.append(f"the garment is only {longer} pixels large in the photo.")
    elif blur_of(photo) > _BLUR:
        found.append(BLURRED)
    return found


def person_warnings(photo: Image.Image, label_map: np.ndarray | None = None, labels: Labels = ATR) -> list[str]:
    """One sentence for each doubt about a person on whom a garment is put; arguments as for `photo_warnings`."""
    found = []
    if label_map is not None and is_from_behind(label_map, labels):
        found.append("the person is seen from behind: product pictures show garments from the front.")
    if blur_of(photo) > _BLUR:
        found.append(BLURRED)
    return found


def blur_of(photo: Image.Image) -> float:
    """The blur of a photo's strongest edges: the deviation of a Gaussian, in pixels of a photo 256 pixels high.

    The gradients of a step that is blurred by b, after filters of deviations 1 and 2, stand as the square root of
    (4 + b^2) / (1 + b^2).
    """
    width = max(8, round(photo.width * _HEIGHT / photo.height))
    grey = np.asarray(photo.convert("L").resize((width, _HEIGHT), Image.Resampling.BOX), np.float32)
    fine, coarse = (scipy.ndimage.gaussian_gradient_magnitude(grey, deviation) for deviation in (1, 2))
    edges = fine >= max(np.percentile(fine, _EDGES), _CONTRAST)
    if not edges.any():
        return 0.0
    square = float(np.median(fine[edges] / np.maximum(coarse[edges], 1e-6))) ** 2
    return ((4 - square) / (square - 1)) ** 0.5 if 1 < square < 4 else (0.0 if square >= 4 else float("inf"))


def sharpness_of(photo: Image.Image) -> float:
    """In (0, 1]: 1 up to the blur from which a photo is called blurred, less the more it is."""
    return 1.0 if (blur := blur_of(photo)) <= _BLUR else _BLUR / blur


def is_from_behind(label_map: np.ndarray, labels: Labels) -> bool:
    """Whether a (H, W) map of ids of `labels` shows hair, and no face under it."""
    if not labels.ids("face"):
        return False
    hair, face = (np.isin(label_map, labels.ids(*parts)).mean() for parts in (["hair"], ["face", "glasses"]))
    return bool(hair > _HAIR and face < _FACE)


def _cut_sides(worn: np.ndarray) -> list[str]:
    """The sides of the photo that a (H, W) bool mask touches."""
    sides = {"top": worn[0], "bottom": worn[-1], "left": worn[:, 0], "right": worn[:, -1]}
    return [name for name, edge in sides.items() if edge.mean() >= _CUT]

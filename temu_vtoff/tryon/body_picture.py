"""A label map as a picture for the pose guider, for a model that reads where body and clothes are instead of joints."""

from functools import lru_cache

import numpy as np
from PIL import Image

from temu_vtoff.segmentation.labels import ATR, Labels

# By part and side: red is the upper body, green the lower, blue the rest.
_COLOURS = {
    ("top", None): (255, 0, 0),
    ("outer", None): (255, 0, 0),
    ("dress", None): (255, 255, 0),
    ("skirt", None): (0, 255, 0),
    ("pants", None): (0, 192, 0),
    ("arms", "left"): (64, 0, 0),
    ("arms", "right"): (128, 0, 0),
    ("hands", "left"): (64, 0, 0),
    ("hands", "right"): (128, 0, 0),
    ("legs", "left"): (0, 64, 0),
    ("legs", "right"): (0, 128, 0),
    ("shoes", "left"): (0, 64, 32),
    ("shoes", "right"): (0, 128, 32),
    ("face", None): (0, 0, 255),
    ("torso", None): (0, 0, 255),
    ("hair", None): (0, 0, 224),
    ("hat", None): (0, 0, 192),
    ("glasses", None): (0, 0, 160),
    ("scarf", None): (0, 0, 128),
    ("bag", None): (0, 0, 96),
    ("belt", None): (0, 0, 64),
}


@lru_cache
def palette(labels: Labels = ATR) -> np.ndarray:
    """The colour of each id, (256, 3) uint8; black for what is neither body nor clothes."""
    colours = np.zeros((256, 3), np.uint8)
    for number, (part, side) in enumerate(zip(labels.parts, labels.sides, strict=True)):
        without = _COLOURS.get((part, "right"), (0, 0, 0))  # where the labels don't tell the sides
        colours[number] = _COLOURS.get((part, side), _COLOURS.get((part, None), without))
    return colours


def body_picture(label_map: np.ndarray, labels: Labels = ATR) -> Image.Image:
    """RGB, black where the background is.

    Args:
        label_map: (H, W), ids of `labels`, of one person.
        labels: What the ids stand for.
    """
    return Image.fromarray(palette(labels)[label_map])

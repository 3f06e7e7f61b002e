"""Garment masks of dataset items: the paths of generated masks, label maps, and the three mask types."""

from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation

from temu_vtoff.datasets import MASK_TYPES
from temu_vtoff.datasets.sample import Item
from temu_vtoff.errors import check_choice
from temu_vtoff.pictures import open_as_is, short_stem

LOOSENESS = 1 / 32  # how far a "mask" extends beyond the garment, as a fraction of the picture's height


def generated_mask_path(mask_dir: str | Path, item: Item) -> Path:
    """The path of an item's generated mask; SegCloth.py writes the same names. Never inside the dataset."""
    return Path(mask_dir) / item.folder / f"{short_stem(item.person.stem)}_binary_mask.png"


def generated_label_map_path(label_map_dir: str | Path, item: Item) -> Path:
    """The path of an item's generated label map, a greyscale PNG of ids. Never inside the dataset."""
    return Path(label_map_dir) / item.folder / f"{short_stem(item.person.stem)}_label_map.png"


def generated_joints_path(joints_dir: str | Path, item: Item) -> Path:
    """The path of an item's estimated joints, JSON in OpenPose's form. Never inside the dataset."""
    return Path(joints_dir) / item.folder / f"{short_stem(item.person.stem)}_keypoints.json"


def open_label_map(path: Path, shown_as: str, count: int) -> np.ndarray:
    """(H, W) uint8, the class of every pixel.

    Args:
        path: A greyscale or palette PNG.
        shown_as: The layout expected, for the message.
        count: How many classes there are; ids go from 0 to `count` - 1.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a picture, damaged, or not a map of class ids.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no label map {path}; expected {shown_as}, or a mask in mask_dir (SegCloth.py makes them)."
        )
    label_map = open_as_is(path)
    if label_map.mode not in ("L", "P", "1", "I", "I;16"):
        raise ValueError(f"The label map {path} is an {label_map.mode} picture; expected greyscale or palette ids.")
    ids = np.asarray(label_map)
    if ids.max() >= count or ids.min() < 0:
        raise ValueError(f"The label map {path} holds the id {ids.max()}; its ids must be 0 to {count - 1}.")
    return ids.astype(np.uint8)


def shape_mask(mask: np.ndarray, mask_type: str) -> np.ndarray:
    """A garment's mask in one of the mask types.

    Args:
        mask: (H, W) bool, the garment's pixels.
        mask_type: "fine" keeps the mask; "bounding_box" fills its upright bounding box; "mask" dilates it by a 32nd of
            the height, like a mask drawn loosely by hand.

    Raises:
        ArgumentError: Unknown type.
    """
    check_choice("mask_type", mask_type, MASK_TYPES)
    if mask_type == "fine" or not mask.any():
        return mask
    if mask_type == "mask":
        reach = max(1, round(LOOSENESS * mask.shape[0]))
        return binary_dilation(mask, iterations=reach)
    box = np.zeros_like(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return box

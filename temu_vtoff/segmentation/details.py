"""Joins sleeves, collars and pockets, which Fashionpedia labels apart, to the garments that they belong to."""

import numpy as np
import scipy

from temu_vtoff.segmentation.categories import GARMENT_PARTS
from temu_vtoff.segmentation.labels import DETAILS, Labels

_OWNERS = {"upper detail": ("top", "outer", "dress"), "detail": GARMENT_PARTS}
_PASSES = 3  # a zip in a pocket in a sleeve


def join_details(label_map: np.ndarray, labels: Labels) -> np.ndarray:
    """Gives each connected detail the label of the garment that it touches most.

    A detail that touches no garment keeps its own label.

    Args:
        label_map: (H, W), ids of `labels`.

    Returns:
        (H, W); the same array where there are no details.
    """
    details = [i for i in labels.ids(*DETAILS) if (label_map == i).any()]
    for _ in range(_PASSES):
        joined = label_map.copy() if details else label_map
        for detail in details:
            _join(joined, label_map, detail, labels.ids(*_OWNERS[labels.parts[detail]]), len(labels))
        if np.array_equal(joined, label_map):
            break
        label_map = joined
    return label_map


def _join(joined: np.ndarray, label_map: np.ndarray, detail: int, owners: tuple[int, ...], count: int) -> None:
    """Writes the owners of one label's connected parts into `joined`."""
    parts, number = scipy.ndimage.label(label_map == detail, structure=np.ones((3, 3)))
    touching = np.zeros((number + 1, count), int)
    for here, there in (
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[:, :-1], np.s_[:, 1:]),
    ):
        edge = (parts[here] > 0) & (label_map[there] != detail)
        np.add.at(touching, (parts[here][edge], label_map[there][edge]), 1)
    touching = touching[:, list(owners)]
    if not owners or not touching.any():
        return
    owner = np.where(touching.any(1), np.take(owners, touching.argmax(1)), detail)
    joined[parts > 0] = owner[parts[parts > 0]]

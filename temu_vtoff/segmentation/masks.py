"""Makes a garment's mask from a label map: the labels of each garment, and the cleaning of the mask.

Label maps are (H, W) arrays of the ids of `LABELS`, as SegFormer clothes predicts them and DressCode stores them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

# The 18 classes of the ATR set, in the order of their ids.
LABELS = (
    "Background",
    "Hat",
    "Hair",
    "Sunglasses",
    "Upper-clothes",
    "Skirt",
    "Pants",
    "Dress",
    "Belt",
    "Left-shoe",
    "Right-shoe",
    "Face",
    "Left-leg",
    "Right-leg",
    "Left-arm",
    "Right-arm",
    "Bag",
    "Scarf",
)
# The release uses only 6, pants, for lower_body, so that skirts get an empty mask.
CATEGORY_LABELS = {"upper_body": (4,), "lower_body": (5, 6), "dresses": (7,)}
CATEGORIES = tuple(CATEGORY_LABELS)
# Labels that SegFormer also gives to such garments: Dress to a long top, top and skirt to a two-piece dress.
_NEIGHBOURS = {"upper_body": (7,), "dresses": (4, 5, 6)}

MASK_ENDINGS = ("_binary_mask.png", "_fine_mask.png")  # file names of a photo's mask and masked image end so
GREY = 128  # level of the greyed-out garment: 0 in [-1, 1]
LEAST_SHARE = 0.01  # share of the person's pixels; less is an error of the segmenter, not a garment
LEAST_SHARE_UNASKED = 0.03  # the same for categories that were not asked for
SPECK_SHARE = 0.01  # share of the garment's pixels; smaller parts are dropped
HOLE_SHARE = 0.01  # share of the garment's pixels; smaller holes are filled. A hand over the garment is larger


class GarmentNotFoundError(ValueError):
    """The wanted garment is not in the picture.

    Attributes:
        found: Names of the labels in the picture, the largest first.
    """

    def __init__(self, wanted: str, found: Sequence[str]):
        self.found = list(found)
        seen = f"found instead: {', '.join(self.found)}" if self.found else "no person was found either"
        super().__init__(f"There is no {wanted} in the picture; {seen}.")


@dataclass(frozen=True, eq=False)
class GarmentMask:
    """A garment's mask and the labels that it is made of.

    Attributes:
        mask: (H, W), bool.
        labels: Names of the mask's labels.
        note: One sentence if a neighbour's labels were used because the garment is absent, otherwise None.
    """

    mask: np.ndarray
    labels: tuple[str, ...]
    note: str | None = None


def garment_mask(label_map: np.ndarray, category: str, clothes: Sequence[str] | None = None) -> GarmentMask:
    """The mask of one garment, without specks and small holes.

    If the garment is absent, its neighbour is used: a dress for upper_body; top, skirt or pants for dresses.

    Args:
        label_map: (H, W), integer ids of `LABELS`.
        category: One of `CATEGORIES`.
        clothes: Names from `LABELS` that make up the garment, instead of the category's.

    Raises:
        GarmentNotFoundError: Neither the garment nor a neighbour is there.
        ValueError: Unknown category or name, or a label map with other ids.
    """
    labels, wanted = choose_labels(label_map, category, clothes), label_ids(category, clothes)
    note = None
    if labels != wanted:
        note = f"No {_names(wanted)} in the picture: {_names(labels)} serves as the {category} garment."
    return GarmentMask(clean_mask(np.isin(label_map, labels)), tuple(LABELS[i] for i in labels), note)


def choose_labels(label_map: np.ndarray, category: str, clothes: Sequence[str] | None = None) -> tuple[int, ...]:
    """The label ids of the garment in this picture, or of its neighbour if it is absent.

    Arguments and errors are those of `garment_mask`.
    """
    wanted = label_ids(category, clothes)
    counts = _count_labels(label_map)
    if _is_there(counts, wanted, LEAST_SHARE):
        return wanted
    neighbour = _NEIGHBOURS.get(category, ()) if clothes is None else ()
    if _is_there(counts, neighbour, LEAST_SHARE):
        return tuple(i for i in neighbour if counts[i])
    order = np.argsort(-counts[1:], kind="stable") + 1
    found = [LABELS[i] for i in order if i not in wanted and _is_there(counts, (i,), LEAST_SHARE)]
    raise GarmentNotFoundError(f"{category} garment ({_names(wanted)})" if clothes is None else _names(wanted), found)


def garments_present(label_map: np.ndarray) -> list[str]:
    """The categories in the picture: those with at least `LEAST_SHARE_UNASKED` of the person's pixels."""
    counts = _count_labels(label_map)
    return [name for name, ids in CATEGORY_LABELS.items() if _is_there(counts, ids, LEAST_SHARE_UNASKED)]


def label_ids(category: str, clothes: Sequence[str] | None = None) -> tuple[int, ...]:
    """The ids of a category, or of the given label names in upper or lower case.

    Raises:
        ValueError: Unknown category or name.
    """
    if clothes is None:
        if category not in CATEGORY_LABELS:
            raise ValueError(f"category is {category!r}; choose one of {', '.join(CATEGORIES)}.")
        return CATEGORY_LABELS[category]
    if isinstance(clothes, str) or not clothes:
        raise ValueError(f"clothes is {clothes!r}; give a list of label names: {', '.join(LABELS[1:])}.")
    ids = {name.lower(): index for index, name in enumerate(LABELS)}
    unknown = [name for name in clothes if name.lower() not in ids]
    if unknown:
        raise ValueError(f"clothes has no labels {', '.join(unknown)}; the labels are {', '.join(LABELS[1:])}.")
    return tuple(ids[name.lower()] for name in clothes)


def clean_mask(mask: np.ndarray) -> np.ndarray:
    """Drops parts and fills holes smaller than a share of the mask's area; the largest part always stays.

    Args:
        mask: (H, W), bool.

    Returns:
        (H, W), bool; a new array.
    """
    from scipy import ndimage  # scripts import this module for their --help

    area = np.count_nonzero(mask)
    if area == 0:
        return mask.copy()
    parts, _ = ndimage.label(mask, structure=np.ones((3, 3)))  # pixels that touch by a corner belong together
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = (sizes >= SPECK_SHARE * area) | (sizes == sizes.max())
    kept[0] = False
    mask = kept[parts]

    gaps, _ = ndimage.label(~mask)
    sizes = np.bincount(gaps.ravel())
    filled = sizes < HOLE_SHARE * area
    for edge in (gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]):
        filled[edge] = False  # open to the outside: no hole
    filled[0] = True  # the mask itself
    return filled[gaps]


def mask_picture(mask: np.ndarray) -> Image.Image:
    """A (H, W) bool mask as an L picture, 255 where it is true."""
    return Image.fromarray(mask.astype(np.uint8) * 255)


def masked_image(image: Image.Image, mask: np.ndarray | Image.Image) -> Image.Image:
    """The picture with the garment greyed out.

    The paper says that the garment is kept, but the release's code and example files grey it out.

    Args:
        image: RGB.
        mask: The picture's mask: (H, W) bool, or an L picture that is 0 outside the garment.

    Returns:
        RGB; `GREY` where the mask is true.
    """
    pixels, mask = np.array(image), np.asarray(mask, dtype=bool)
    if pixels.shape[:2] != mask.shape:
        raise ValueError(f"the picture has {pixels.shape[:2]} rows and columns, the mask {mask.shape}.")
    pixels[mask] = GREY
    return Image.fromarray(pixels)


def _count_labels(label_map: np.ndarray) -> np.ndarray:
    counts = np.bincount(np.asarray(label_map).ravel(), minlength=len(LABELS))
    if len(counts) > len(LABELS):
        raise ValueError(f"the label map holds the id {len(counts) - 1}; its ids must be 0 to {len(LABELS) - 1}.")
    return counts


def _is_there(counts: np.ndarray, ids: Sequence[int], share: float) -> bool:
    area = counts[list(ids)].sum()
    return bool(area > 0 and area >= share * counts[1:].sum())


def _names(ids: Sequence[int]) -> str:
    return " or ".join(LABELS[i] for i in ids)

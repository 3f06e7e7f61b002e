"""Makes a garment's mask from a label map: the labels of each garment, and the cleaning of the mask.

Masks of different categories never share a pixel, except `upper_body`, which is `outer` and `inner` together, and a
garment that serves in the place of an absent one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # it loads `scipy.ndimage` at the first use, which `--help` does not wait for
from PIL import Image

from temu_vtoff.segmentation.categories import CATEGORIES, DATASET_CATEGORIES, LAYERS, TRYOFF_CATEGORIES
from temu_vtoff.segmentation.labels import ATR, Labels

MASK_ENDINGS = ("_binary_mask.png", "_fine_mask.png")  # file names of a photo's mask and masked image end so
GREY = 128  # level of the greyed-out garment: 0 in [-1, 1]
LEAST_SHARE = 0.01  # share of the person's pixels; less is an error of the segmenter, not a garment
LEAST_SHARE_UNASKED = 0.03  # the same for categories that were not asked for
SPECK_SHARE = 0.01  # share of the garment's pixels; smaller parts are dropped
HOLE_SHARE = 0.01  # share of the garment's pixels; smaller holes are filled. A hand over the garment is larger


class GarmentNotFoundError(ValueError):
    """The wanted garment is not in the picture.

    Args:
        absent: What is not there, for example "There is no hat".

    Attributes:
        found: Names of the labels in the picture, the largest first.
    """

    def __init__(self, absent: str, found: Sequence[str]):
        self.found = list(found)
        seen = f"found instead: {', '.join(self.found)}" if self.found else "no person was found either"
        super().__init__(f"{absent} in the picture; {seen}.")


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


def garment_mask(
    label_map: np.ndarray, category: str, clothes: Sequence[str] | None = None, labels: Labels = ATR
) -> GarmentMask:
    """The mask of one garment, without specks and small holes.

    If the garment is absent, its neighbour is used: a dress for upper_body; top, skirt or pants for dresses.

    Args:
        label_map: (H, W), integer ids of `labels`, of one person; see `temu_vtoff.segmentation.people.one_person`.
        category: A key of `CATEGORIES`.
        clothes: Names from `labels` that make up the garment, instead of the category's.
        labels: What the ids stand for.

    Raises:
        GarmentNotFoundError: Neither the garment nor a neighbour is there.
        ArgumentError: Unknown category or name, or a category that the labels can't tell.
        ValueError: A label map with other ids.
    """
    ids, wanted = choose_labels(label_map, category, clothes, labels), label_ids(category, clothes, labels)
    names, mask = labels.name_all(ids), np.isin(label_map, ids)
    if ids != wanted:
        note = f"No {_names(wanted, labels)} in the picture: {_names(ids, labels)} serves as the {category} garment."
        return GarmentMask(clean_mask(mask), names, note)
    if clothes is not None:
        return GarmentMask(clean_mask(mask), names)
    if category in TRYOFF_CATEGORIES:
        return GarmentMask(clean_mask(mask, _others(label_map, ids, labels, TRYOFF_CATEGORIES)), names)
    mask = clean_mask(mask, _others(label_map, ids, labels, CATEGORIES))
    for garment in _worn(label_map, labels, TRYOFF_CATEGORIES):  # which may have closed a hole over it
        mask &= ~clean_mask(np.isin(label_map, garment), _others(label_map, garment, labels, TRYOFF_CATEGORIES))
    return GarmentMask(mask, names)


def choose_labels(
    label_map: np.ndarray, category: str, clothes: Sequence[str] | None = None, labels: Labels = ATR
) -> tuple[int, ...]:
    """The label ids of the garment in this picture, or of its neighbour if it is absent.

    Arguments and errors are those of `garment_mask`.
    """
    wanted = label_ids(category, clothes, labels)
    counts = _count_labels(label_map, labels)
    if _is_there(counts, wanted, LEAST_SHARE, labels):
        return wanted
    neighbour = labels.ids(*CATEGORIES[category].neighbours) if clothes is None else ()
    if _is_there(counts, neighbour, LEAST_SHARE, labels):
        return tuple(i for i in neighbour if counts[i])
    order = [i for i in np.argsort(-counts, kind="stable") if labels.parts[i] != "background"]
    found = [labels.names[i] for i in order if i not in wanted and _is_there(counts, (i,), LEAST_SHARE, labels)]
    raise GarmentNotFoundError(_absent(category if clothes is None else None, _names(wanted, labels)), found)


def garments_present(label_map: np.ndarray, labels: Labels = ATR) -> list[str]:
    """The garments in the picture: those with at least `LEAST_SHARE_UNASKED` of the person's pixels.

    Returns:
        Of `DATASET_CATEGORIES`; `outer` and `inner` in the place of upper_body where both are there.
    """
    counts = _count_labels(label_map, labels)

    def is_there(category: str) -> bool:
        return labels.tell(category) and _is_there(
            counts, label_ids(category, labels=labels), LEAST_SHARE_UNASKED, labels
        )

    layers = LAYERS if all(map(is_there, LAYERS)) else ("upper_body",)
    return [name for name in (*layers, *DATASET_CATEGORIES[1:]) if is_there(name)]


def label_ids(category: str, clothes: Sequence[str] | None = None, labels: Labels = ATR) -> tuple[int, ...]:
    """The ids of a category, or of the given label names in any spelling.

    Raises:
        ArgumentError: Unknown category or name, or a category that the labels can't tell.
    """
    return labels.of_category(category) if clothes is None else labels.named(clothes)


def clean_mask(mask: np.ndarray, others: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Drops parts and fills holes smaller than a share of the mask's area; the largest part always stays.

    Args:
        mask: (H, W), bool.
        others: Masks of other garments, (H, W) bool: a hole through which one of them shows stays open.

    Returns:
        (H, W), bool; a new array.
    """
    area = np.count_nonzero(mask)
    if area == 0:
        return mask.copy()
    mask = _without_specks(mask)
    gaps, _ = scipy.ndimage.label(~mask)
    sizes = np.bincount(gaps.ravel())
    filled = sizes < HOLE_SHARE * area
    for edge in (gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]):
        filled[edge] = False  # open to the outside: no hole
    for other in others:
        if (other & filled[gaps]).any():
            filled[gaps[_without_specks(other)]] = False
    filled[0] = True  # the mask itself
    return filled[gaps]


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """The parts of a mask that have at least `SPECK_SHARE` of its pixels, and the largest."""
    parts, _ = scipy.ndimage.label(mask, structure=np.ones((3, 3)))  # pixels that touch by a corner belong together
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = (sizes >= SPECK_SHARE * np.count_nonzero(mask)) | (sizes == sizes.max())
    kept[0] = False
    return kept[parts]


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


def _worn(label_map: np.ndarray, labels: Labels, categories: Iterable[str]) -> list[tuple[int, ...]]:
    """The label ids of those of the categories that are in the picture."""
    counts = _count_labels(label_map, labels)
    known = [labels.of_category(name) for name in categories if labels.tell(name)]
    return [ids for ids in known if _is_there(counts, ids, LEAST_SHARE, labels)]


def _others(label_map: np.ndarray, ids: Sequence[int], labels: Labels, categories: Iterable[str]) -> list[np.ndarray]:
    """The pixels of those of the categories that are in the picture and share no label with `ids`, with specks."""
    worn = _worn(label_map, labels, categories)
    return [np.isin(label_map, other) for other in worn if not set(other) & set(ids)]


def _count_labels(label_map: np.ndarray, labels: Labels) -> np.ndarray:
    counts = np.bincount(np.asarray(label_map).ravel(), minlength=len(labels))
    if len(counts) > len(labels):
        raise ValueError(f"the label map holds the id {len(counts) - 1}; its ids must be 0 to {len(labels) - 1}.")
    return counts


def _is_there(counts: np.ndarray, ids: Sequence[int], share: float, labels: Labels) -> bool:
    area = counts[list(ids)].sum()
    return bool(area > 0 and area >= share * counts[list(labels.of_people)].sum())


def _absent(category: str | None, names: str) -> str:
    """That a category's garment, or without one the labels of these names, are not there."""
    if category is None:
        return f"There is no {names}"
    if category in TRYOFF_CATEGORIES:
        return f"There is no {category} garment ({names})"
    return "There are no shoes" if category == "shoes" else f"There is no {category}"


def _names(ids: Sequence[int], labels: Labels) -> str:
    return " or ".join(labels.name_all(ids))

"""One person of a photo that shows several: whose pixels are whose, from the labels alone.

Connected parts of the label map that hold a head and clothes are people. People who touch are distinguished by their
heads, each with face and hair, and parted halfway between two heads: an arm around another's shoulders counts as the
other's. People who touch and are seen from behind, or without heads, count as one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from temu_vtoff.errors import ArgumentError
from temu_vtoff.segmentation.categories import GARMENT_PARTS
from temu_vtoff.segmentation.details import join_details
from temu_vtoff.segmentation.labels import Labels

LEAST_SIZE = 0.15  # of the largest person's pixels: smaller ones are passers-by, and no choice
LEAST_HEAD = 0.3  # of the largest face's pixels, for people who touch
_SHORT_SIDE = 256  # pixels of the reduced map in which people are found


@dataclass(frozen=True, eq=False)
class OnePerson:
    """The label map of one person.

    Attributes:
        label_map: (H, W), with the background's id where others are.
        count: How many people the photo shows.
        number: Which one this is, from left to right, from 1; 0 where there is none.
        is_chosen: Whether the caller named the number.
    """

    label_map: np.ndarray
    count: int
    number: int
    is_chosen: bool = False

    @property
    def note(self) -> str | None:
        """One sentence if the person was picked from several, otherwise None."""
        if self.count < 2 or self.is_chosen:
            return None
        return f"There are {self.count} people in the photo: the largest is taken, number {self.number} from the left."


def check_person(person: int | None) -> None:
    """
    Raises:
        ArgumentError: A number below 1.
    """
    if person is not None and person < 1:
        raise ArgumentError(f"{{person}} is {person}; give 1 for the person at the left, 2 for the next.", "person")


def one_person(label_map: np.ndarray, labels: Labels, person: int | None = None, details: bool = False) -> OnePerson:
    """The label map of one person of a photo; that of a single person stays as it is.

    Args:
        label_map: (H, W), ids of `labels`.
        person: Number from left to right, from 1; the largest person when left out.
        details: Keep the labels of garments' details instead of joining them to their garments.

    Raises:
        ArgumentError: Fewer people than `person`, or a number below 1.
    """
    check_person(person)
    step = max(1, min(label_map.shape) // _SHORT_SIDE)
    owners = _owners(label_map[::step, ::step], labels)  # (h, w), number of each pixel's person
    count = int(owners.max(initial=0))
    if person is not None and person > max(count, 1):
        shown = "one person" if count < 2 else f"{count} people"
        raise ArgumentError(f"{{person}} is {person}, and the photo shows {shown}.", "person")
    number = person
    if person is None or count < 2:
        of_people = np.isin(label_map[::step, ::step], labels.of_people)
        number = int(np.bincount(owners[of_people], minlength=2)[1:].argmax()) + 1 if count else 0
    if count > 1:
        height, width = label_map.shape
        others = owners.repeat(step, 0).repeat(step, 1)[:height, :width] != number
        background = labels.ids("background")
        label_map = label_map.copy()
        label_map[others & np.isin(label_map, labels.of_people)] = background[0]
    if not details:
        label_map = join_details(label_map, labels)
    return OnePerson(label_map, count, number, is_chosen=person is not None)


def _owners(label_map: np.ndarray, labels: Labels) -> np.ndarray:
    """(h, w), the number of the nearest person from left to right; 0 where there are none, all 1 for a single one."""
    if not labels.ids("background"):
        return np.ones(label_map.shape, int)
    parts, _ = scipy.ndimage.label(np.isin(label_map, labels.of_people), structure=np.ones((3, 3)))
    people = _people(parts, label_map, labels)
    seeds = np.zeros(label_map.shape, int)
    centres: list[float] = []
    for part in people:
        pixels = parts == part
        heads = _heads(np.where(pixels, label_map, labels.ids("background")[0]), labels)
        columns = np.nonzero(pixels)[1]
        if len(heads) < 2:
            heads = [float(columns.mean())]
        nearest = np.abs(columns[:, None] - np.array(heads)).argmin(1)
        seeds[pixels] = len(centres) + 1 + nearest
        centres += heads
    if len(centres) < 2:
        return np.full(label_map.shape, len(centres))
    order = np.argsort(np.argsort(centres, kind="stable"), kind="stable")
    seeds[seeds > 0] = order[seeds[seeds > 0] - 1] + 1
    rows, columns = scipy.ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    return seeds[rows, columns]


def _people(parts: np.ndarray, label_map: np.ndarray, labels: Labels) -> list[int]:
    """The connected parts that are people, the largest first.

    A part below or above a person, such as trousers below a bare waist, which has no label, is no person of its own.
    """
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    if not sizes.any():
        return []
    is_head, is_cloth = (np.isin(label_map, labels.ids(*names)) for names in (("face", "hair"), GARMENT_PARTS))
    found: list[tuple[int, slice, bool]] = []
    boxes = scipy.ndimage.find_objects(parts)
    for part in np.argsort(-sizes, kind="stable"):
        if sizes[part] < LEAST_SIZE * sizes.max() or sizes[part] == 0:
            break
        pixels, columns = parts == part, boxes[part - 1][1]
        has_head = bool((is_head & pixels).any())
        is_apart = all(_overlap(columns, other) < 0.5 or (has_head and head) for _, other, head in found)
        if not found or (is_apart and (is_cloth & pixels).any()):
            found.append((int(part), columns, has_head))
    return [part for part, _, _ in found]


def _overlap(a: slice, b: slice) -> float:
    """The share of the narrower range that both have."""
    shared = min(a.stop, b.stop) - max(a.start, b.start)
    return shared / min(a.stop - a.start, b.stop - b.start)


def _heads(label_map: np.ndarray, labels: Labels) -> list[float]:
    """The columns of the heads that stand side by side: connected face and hair, each at least a width apart."""
    face, hair = (np.isin(label_map, labels.ids(name)) for name in ("face", "hair"))
    blobs, count = scipy.ndimage.label(face | hair | np.isin(label_map, labels.ids("glasses", "hat")), np.ones((3, 3)))
    if count < 2:
        return []
    faces = np.bincount(blobs[face], minlength=count + 1)
    hairs = np.bincount(blobs[hair], minlength=count + 1)
    heads: list[tuple[float, float]] = []
    for blob in np.argsort(-faces, kind="stable"):
        if blob == 0 or not hairs[blob] or faces[blob] == 0 or faces[blob] < LEAST_HEAD * faces.max():
            continue
        columns = np.nonzero((blobs == blob) & face)[1]
        width, centre = float(np.ptp(columns)) + 1, float(columns.mean())
        if all(abs(centre - other) >= max(width, other_width) for other, other_width in heads):
            heads.append((centre, width))
    return [centre for centre, _ in heads]

"""Masks or label maps for the items of a dataset, where `TryOffDataset` looks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from temu_vtoff.pictures import is_whole_picture
from temu_vtoff.runs.reading import naming_killed_readers
from temu_vtoff.runs.stage import Progress, each_batch, each_result
from temu_vtoff.runs.writing import PictureWriter
from temu_vtoff.segmentation.conversion import convert_label_map
from temu_vtoff.segmentation.masks import GarmentNotFoundError, garment_mask, mask_picture
from temu_vtoff.segmentation.people import one_person
from temu_vtoff.serving import ErrorRow
from temu_vtoff.stages.warnings import is_from_behind

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset
    from temu_vtoff.segmentation.labels import Labels
    from temu_vtoff.segmentation.segmenter import ClothSegmenter


@naming_killed_readers()
def segment_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    load_segmenter: Callable[[], ClothSegmenter],
    path_of: Callable[[Item], Path],
    draw: Callable[[Item, np.ndarray, Labels], Image.Image],
    *,
    num_workers: int = 0,
    progress: Progress = iter,
) -> dict[Item, str]:
    """Writes the pictures that are missing.

    Args:
        dataset: Dataset that loads persons in their own sizes.
        batches: Argument of `each_batch`, like `load_segmenter`, `num_workers` and `progress`.
        path_of: The path of an item's picture; see `generated_mask_path` and `generated_label_map_path`.
        draw: The picture of an item's label map, whose ids it is told; may raise `GarmentNotFoundError`.

    Returns:
        The errors of the items that got no picture.
    """
    failures: dict[Item, str] = {}
    errors = ErrorRow()

    def is_done(item: Item) -> bool:
        return is_whole_picture(path_of(item))

    steps = each_batch(
        dataset,
        batches,
        is_done=is_done,
        load_model=load_segmenter,
        failures=failures,
        num_workers=num_workers,
        progress=progress,
    )
    with PictureWriter() as writer:
        for segmenter, samples in steps:
            for sample, label_map in each_result(partial(_label_maps, segmenter), samples, failures, errors):
                if is_done(sample.item):
                    continue
                try:
                    picture = draw(sample.item, label_map, segmenter.labels)
                except GarmentNotFoundError as error:
                    failures[sample.item] = f"{sample.item.person}: {error}"
                    continue
                writer.write(picture, path_of(sample.item))
    return failures


@dataclass(frozen=True)
class _Drawing:
    """
    Attributes:
        notes: Gets a remark on each item with several people, or for which a neighbour's labels were used.
    """

    notes: dict[Item, str]

    def _remark(self, item: Item, *notes: str | None) -> None:
        if remarks := [note for note in notes if note is not None]:
            self.notes[item] = " ".join(remarks)


@dataclass(frozen=True)
class GarmentMasks(_Drawing):
    """Draws the garment's mask.

    Attributes:
        from_behind: Gets the items whose person is seen from behind.
    """

    from_behind: set[Item] = field(default_factory=set)

    def __call__(self, item: Item, label_map: np.ndarray, labels: Labels) -> Image.Image:
        """
        Raises:
            GarmentNotFoundError: It is not in the label map.
        """
        one = one_person(label_map, labels)
        garment = garment_mask(one.label_map, item.category, labels=labels)
        self._remark(item, one.note, garment.note)
        if is_from_behind(one.label_map, labels):
            self.from_behind.add(item)
        return mask_picture(garment.mask)


@dataclass(frozen=True)
class LabelMaps(_Drawing):
    """Draws the label map itself, of one person.

    Attributes:
        layout: A key of `temu_vtoff.segmentation.layouts.LAYOUTS`, whose ids it has.
    """

    layout: str

    def __call__(self, item: Item, label_map: np.ndarray, labels: Labels) -> Image.Image:
        one = one_person(label_map, labels)
        self._remark(item, one.note)
        return convert_label_map(one.label_map, labels, self.layout)


def _label_maps(segmenter: ClothSegmenter, samples: Sequence[Sample]) -> list[np.ndarray]:
    return segmenter.label_maps([sample.person for sample in samples])

"""Masks or label maps for the items of a dataset, where `TryOffDataset` looks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from temu_vtoff.pictures import is_whole_picture
from temu_vtoff.runs.stage import run_stage
from temu_vtoff.runs.writing import PictureWriter
from temu_vtoff.segmentation.conversion import convert_label_map
from temu_vtoff.segmentation.masks import garment_mask, mask_picture
from temu_vtoff.segmentation.people import one_person
from temu_vtoff.stages.warnings import is_from_behind

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset
    from temu_vtoff.segmentation.labels import Labels
    from temu_vtoff.segmentation.segmenter import ClothSegmenter


def segment_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    load_segmenter: Callable[[], ClothSegmenter],
    path_of: Callable[[Item], Path],
    draw: Callable[[Item, np.ndarray, Labels], Image.Image],
    **reading: Any,
) -> dict[Item, str]:
    """Writes the pictures that are missing.

    Args:
        dataset: Dataset that loads persons in their own sizes.
        path_of: The path of an item's picture; see `generated_mask_path` and `generated_label_map_path`.
        draw: The picture of an item's label map and its labels; may raise `GarmentNotFoundError`.
        reading: Arguments of `run_stage`: `num_workers` and `progress`.

    Returns:
        The errors of the items that got no picture.
    """

    def segment(segmenter: ClothSegmenter, samples: Sequence[Sample]) -> list[np.ndarray]:
        return segmenter.label_maps([sample.person for sample in samples])

    with PictureWriter() as writer:

        def write(segmenter: ClothSegmenter, sample: Sample, label_map: np.ndarray) -> None:
            writer.write(draw(sample.item, label_map, segmenter.labels), path_of(sample.item))

        return run_stage(
            dataset,
            batches,
            is_done=lambda item: is_whole_picture(path_of(item)),
            load_model=load_segmenter,
            make=segment,
            keep=write,
            **reading,
        )


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

"""Masks for the items of a dataset, where `TryOffDataset` looks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from temu_vtoff.datasets.masks import generated_mask_path
from temu_vtoff.pictures import is_whole_picture
from temu_vtoff.runs.reading import naming_killed_readers
from temu_vtoff.runs.stage import Progress, each_batch, each_result
from temu_vtoff.runs.writing import PictureWriter
from temu_vtoff.segmentation.masks import GarmentNotFoundError, garment_mask, mask_picture
from temu_vtoff.segmentation.people import one_person
from temu_vtoff.serving import ErrorRow

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset
    from temu_vtoff.segmentation.segmenter import ClothSegmenter


@naming_killed_readers()
def segment_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    load_segmenter: Callable[[], ClothSegmenter],
    mask_dir: str | Path,
    *,
    notes: dict[Item, str] | None = None,
    num_workers: int = 0,
    progress: Progress = iter,
) -> dict[Item, str]:
    """Writes the masks that are missing.

    Args:
        dataset: Dataset that loads persons in their own sizes.
        batches: Argument of `each_batch`, like `load_segmenter`, `num_workers` and `progress`.
        mask_dir: Folder of the masks; see `generated_mask_path`.
        notes: Gets a remark on each item with several people, or for which a neighbour's labels were used.

    Returns:
        The errors of the items that got no mask.
    """
    failures: dict[Item, str] = {}
    errors = ErrorRow()

    def is_done(item: Item) -> bool:
        return is_whole_picture(generated_mask_path(mask_dir, item))

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
                one = one_person(label_map, segmenter.labels)
                try:
                    garment = garment_mask(one.label_map, sample.item.category, labels=segmenter.labels)
                except GarmentNotFoundError as error:
                    failures[sample.item] = f"{sample.item.person}: {error}"
                    continue
                remarks = [note for note in (one.note, garment.note) if note is not None]
                if notes is not None and remarks:
                    notes[sample.item] = " ".join(remarks)
                writer.write(mask_picture(garment.mask), generated_mask_path(mask_dir, sample.item))
    return failures


def _label_maps(segmenter: ClothSegmenter, samples: Sequence[Sample]) -> list[np.ndarray]:
    return segmenter.label_maps([sample.person for sample in samples])

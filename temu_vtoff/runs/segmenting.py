"""Masks for the items of a dataset, where `TryOffDataset` looks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from temu_vtoff.datasets.masks import generated_mask_path
from temu_vtoff.runs.reading import read_batches
from temu_vtoff.runs.sharing import unfinished
from temu_vtoff.runs.writing import PictureWriter
from temu_vtoff.segmentation.masks import GarmentNotFoundError, garment_mask, mask_picture

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, TryOffDataset
    from temu_vtoff.segmentation.segmenter import ClothSegmenter


def segment_items(
    dataset: TryOffDataset,
    batches: Sequence[Sequence[Item]],
    segmenter: ClothSegmenter,
    mask_dir: str | Path,
    num_workers: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[Item, str]:
    """Writes the masks that are missing.

    Args:
        dataset: Loads persons, in their own sizes.
        batches: Go through the model whole, so that an item's mask never depends on what an earlier run had finished.
        mask_dir: Gets `generated_mask_path` of each item.
        num_workers: Processes that read.
        progress: Wraps the batches; a progress bar, say.

    Returns:
        What was wrong with the items that got no mask.
    """
    failures: dict[Item, str] = {}
    to_do = unfinished(batches, lambda item: generated_mask_path(mask_dir, item).exists())
    with PictureWriter() as writer:
        for read in progress(read_batches(dataset, to_do, num_workers)):
            failures |= dict(read.failures)
            label_maps = segmenter.label_maps([sample.person for sample in read.samples])
            for sample, label_map in zip(read.samples, label_maps, strict=True):
                path = generated_mask_path(mask_dir, sample.item)
                if path.exists():
                    continue
                try:
                    garment = garment_mask(label_map, sample.item.category)
                except GarmentNotFoundError as error:
                    failures[sample.item] = f"{sample.item.person}: {error}"
                    continue
                writer.write(mask_picture(garment.mask), path)
    return failures

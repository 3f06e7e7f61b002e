"""A data set of pairs, read many items at a time, in threads; damaged pictures are skipped."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from temu_vtoff.datasets import Sample, SampleBatch, TryOffDataset, open_dataset, stack_samples
from temu_vtoff.datasets.base import LOADABLE
from temu_vtoff.datasets.captions import read_captions
from temu_vtoff.errors import ArgumentError, reason_of
from temu_vtoff.training.step_sampler import shuffled

logger = logging.getLogger(__name__)

THREADS = 4
MAX_DAMAGED = 20  # in a row; more mean that the data set is damaged, not a picture


def open_split(
    name: str,
    root: str | Path,
    phase: str,
    *,
    size: tuple[int, int],
    category: str = "all",
    caption_files: Sequence[str | Path] = (),
    mask_dir: str | Path | None = None,
) -> TryOffDataset:
    """One split of a data set, opened with all pictures that training needs.

    Args:
        name: "dresscode" or "vitonhd".
        root: The data set's folder.
        phase: "train" or "test".
        size: Width and height of the pictures, in pixels.
        category: One of the data set's, or "all".
        caption_files: Later files take precedence; items without caption have the empty one.
        mask_dir: Masks that SegCloth.py made; items without one have their label map's.

    Raises:
        ArgumentError: There is no folder of masks.
        FileNotFoundError: Something of the data set is missing.
    """
    if mask_dir is not None and not Path(mask_dir).is_dir():
        raise ArgumentError(f"{{mask_dir}}: there is no folder {mask_dir}; SegCloth.py makes one.", "mask_dir")
    captions = {item: text for path in caption_files for item, text in read_captions(path).items()}
    return open_dataset(
        name,
        root,
        phase=phase,
        category=category,
        load=LOADABLE,
        captions=captions if caption_files else None,
        mask_dir=mask_dir,
        width=size[0],
        height=size[1],
    )


class PairDataset:
    """Photo, mask, masked image, product picture and caption of a data set's items, batch by batch.

    Args:
        dataset: Opened by `open_split`.
        order: Positions of items in the data set. None takes all items, shuffled for a test split so that the first
            ones are a fair sample.
    """

    def __init__(self, dataset: TryOffDataset, order: Sequence[int] | None = None) -> None:
        if order is None:
            order = shuffled(len(dataset), seed=0) if dataset.phase == "test" else range(len(dataset))
        self.dataset, self.order = dataset, list(order)

    @property
    def captions(self) -> list[str]:
        """The items' captions in order; empty for items without one."""
        known = self.dataset.captions if self.dataset.captions is not None else {}
        return [known.get(self.dataset.items[index].id) or "" for index in self.order]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, positions: Sequence[int]) -> SampleBatch:
        """
        Raises:
            ValueError: Many items in a row can't be read.
        """
        with ThreadPoolExecutor(THREADS) as threads:
            return self.stack(list(threads.map(self._read_or_next, positions)))

    def read(self, position: int) -> Sample:
        """The item at a position of the order."""
        return self.dataset[self.order[position]]

    def stack(self, samples: Sequence[Sample]) -> SampleBatch:
        """The samples as one batch."""
        return stack_samples(samples)

    def _read_or_next(self, position: int) -> Sample:
        """The item, or the next one that can be read."""
        for candidate in range(position, position + MAX_DAMAGED):
            try:
                return self.read(candidate % len(self))
            except MemoryError:
                raise
            except Exception as error:  # damaged files raise all kinds
                item = self.dataset.items[self.order[candidate % len(self)]]
                failure = f"{item.key} can't be read: {reason_of(error)}"
                logger.warning("Skipped: %s", failure)
        raise ValueError(f"{MAX_DAMAGED} items in a row can't be read; the last one: {failure}")

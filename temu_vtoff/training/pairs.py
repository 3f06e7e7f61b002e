"""A data set of pairs, read many items at a time, in threads; damaged pictures are passed over."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from temu_vtoff.datasets import Sample, SampleBatch, TryOffDataset, stack_samples

logger = logging.getLogger(__name__)

THREADS = 4
MAX_DAMAGED = 20  # in a row: then it is not a picture that is damaged, but the data set


class Pairs:
    """Photo, mask, greyed photo, product picture and caption of a data set's items.

    Args:
        dataset: Opened with a width and a height, loading all four pictures.
        order: The items wanted, in this order; all in their own when absent.
    """

    def __init__(self, dataset: TryOffDataset, order: Sequence[int] | None = None) -> None:
        self.dataset = dataset
        self.order = list(order) if order is not None else list(range(len(dataset)))
        known = dataset.captions if dataset.captions is not None else {}
        self.captions = [known.get(dataset.items[index].id) or "" for index in self.order]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, items: Sequence[int]) -> SampleBatch:
        """
        Raises:
            ValueError: Many in a row can't be read.
        """
        with ThreadPoolExecutor(THREADS) as threads:
            return stack_samples(list(threads.map(self._read, items)))

    def _read(self, item: int) -> Sample:
        """The item, or the next that can be read."""
        for place in range(item, item + MAX_DAMAGED):
            try:
                return self.dataset[self.order[place % len(self)]]
            except (ValueError, FileNotFoundError) as error:
                logger.warning("Passed over: %s", error)
                failure = error
        raise ValueError(f"{MAX_DAMAGED} items in a row can't be read, the last one because: {failure}")

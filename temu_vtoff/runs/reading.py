"""Batches of samples read ahead by other processes, with the trouble of single items told instead of raised."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.utils.data import DataLoader, Dataset

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset


@dataclass(frozen=True)
class ReadBatch:
    """What could be read of a batch, and what was wrong with the rest."""

    samples: list[Sample]
    failures: list[tuple[Item, str]]


def read_batches(dataset: TryOffDataset, batches: Sequence[Sequence[Item]], num_workers: int = 0) -> DataLoader:
    """`ReadBatch`es in the given order; the loader has a length.

    Args:
        num_workers: Processes that read, at most one a core; 0 reads here.
    """
    workers = min(num_workers, os.cpu_count() or 1)
    return DataLoader(_Batches(dataset, batches), batch_size=None, num_workers=workers, collate_fn=_as_it_is)


class _Batches(Dataset):
    def __init__(self, dataset: TryOffDataset, batches: Sequence[Sequence[Item]]) -> None:
        self.dataset, self.batches = dataset, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> ReadBatch:
        read = ReadBatch([], [])
        for item in self.batches[index]:
            try:
                read.samples.append(self.dataset[item.index])
            except (ValueError, OSError) as error:
                read.failures.append((item, " ".join(str(error).split())))
        return read


def _as_it_is(batch: ReadBatch) -> ReadBatch:
    return batch

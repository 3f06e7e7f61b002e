"""Batches of samples, read ahead by other processes. The errors of single items are collected, not raised."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.utils.data import DataLoader, Dataset

from temu_vtoff.errors import ArgumentError, CommonCauseError, is_of_killed_reader
from temu_vtoff.serving import describe

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset


class ReaderKilledError(CommonCauseError):
    """A process that reads pictures was killed, or crashed in a decoder."""


@dataclass(frozen=True)
class ReadBatch:
    """The samples of a batch, and the errors of items that can't be read."""

    samples: list[Sample]
    failures: list[tuple[Item, str]]


def read_batches(dataset: TryOffDataset, batches: Sequence[Sequence[Item]], num_workers: int = 0) -> DataLoader:
    """`ReadBatch`es in the given order; the loader has a length.

    Args:
        num_workers: Number of reading processes, limited to the number of cores; 0 reads in this process.

    Raises:
        ArgumentError: `num_workers` is negative.
    """
    if num_workers < 0:
        raise ArgumentError(f"{{num_workers}} is {num_workers}; give 0 or more.", "num_workers")
    workers = min(num_workers, os.cpu_count() or 1)
    return DataLoader(_Batches(dataset, batches), batch_size=None, num_workers=workers, collate_fn=_as_it_is)


@contextmanager
def naming_killed_readers() -> Iterator[None]:
    """Turns the error that torch raises in this process when a reading process dies into one sentence.

    Raises:
        ReaderKilledError: One died.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_of_killed_reader(error):
            raise
        raise ReaderKilledError(
            "A process that reads pictures was killed, which systems do when memory runs out. Start again with fewer "
            "{num_workers} (0 reads without such processes); what is finished stays.",
            "num_workers",
        ) from error


def one_sentence(error: Exception, item: Item) -> str:
    """The error of an item on one line, with the name of one of its files."""
    text = describe(error)
    names = (item.person.stem, item.garment.stem, item.label_map.stem)
    return text if any(name in text for name in names) else f"{item.person}: {text}"


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
            except Exception as error:  # decoders raise all kinds, and no file may end a run
                read.failures.append((item, one_sentence(error, item)))
        return read


def _as_it_is(batch: ReadBatch) -> ReadBatch:
    return batch

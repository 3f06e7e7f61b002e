"""Batches of samples read ahead by other processes. What goes wrong with an item is noted, not raised."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.utils.data import DataLoader, Dataset

from temu_vtoff.errors import ArgumentError

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset


class ReaderKilledError(ArgumentError):
    """A process that reads pictures is gone: killed from outside, or crashed in a decoder."""


@dataclass(frozen=True)
class ReadBatch:
    """What could be read of a batch, and what was wrong with the rest."""

    samples: list[Sample]
    failures: list[tuple[Item, str]]


def read_batches(dataset: TryOffDataset, batches: Sequence[Sequence[Item]], num_workers: int = 0) -> DataLoader:
    """`ReadBatch`es in the given order; the loader has a length.

    Args:
        num_workers: Processes that read, at most one a core; 0 reads here.

    Raises:
        ArgumentError: `num_workers` is negative.
    """
    if num_workers < 0:
        raise ArgumentError(f"{{num_workers}} is {num_workers}; give 0 or more.", "num_workers")
    workers = min(num_workers, os.cpu_count() or 1)
    return DataLoader(_Batches(dataset, batches), batch_size=None, num_workers=workers, collate_fn=_as_it_is)


@contextmanager
def naming_killed_readers() -> Iterator[None]:
    """Makes a sentence of what torch raises in this process, at any place, when a reading process dies.

    Raises:
        ReaderKilledError: One died.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise ReaderKilledError(
            "A process that reads pictures was killed, which systems do when memory runs out. Start again with fewer "
            "{num_workers} (0 reads without such processes); what is finished stays.",
            "num_workers",
        ) from error


def one_sentence(error: Exception, item: Item) -> str:
    """What was wrong with an item, on one line that names a file of it."""
    text = " ".join(str(error).split())
    if not isinstance(error, (ValueError, OSError)):  # not ours: the text alone says little
        text = f"{type(error).__name__}: {text}"
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

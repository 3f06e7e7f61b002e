"""Distribution of the batches over processes, and the seed of each item.

Batches are cut from the whole list before anything is skipped, so that a resumed run, or a run with more processes, has
the same batches. An item's seed depends on the item.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby, islice
from typing import TYPE_CHECKING, TypeVar

import torch

from temu_vtoff.hardware.devices import choose_device

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item
    from temu_vtoff.stages.options import Options

T = TypeVar("T")
LONGEST_WAIT = timedelta(days=30)  # for slower processes


@dataclass(frozen=True)
class Share:
    """This process's part of the batches: every `count`th batch, from the `index`th on.

    Attributes:
        index: Number of this process, from 0.
        count: Number of processes.
        local_index: Number of this process among those of its machine, from 0.
    """

    index: int = 0
    count: int = 1
    local_index: int = 0

    @classmethod
    @contextmanager
    def join(cls) -> Iterator[Share]:
        """The part assigned by `accelerate launch` or `torchrun`; without them, all batches."""
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            yield cls()
            return
        from accelerate import PartialState

        # The processes exchange only short messages, for which the CPU's backend is enough on any device.
        state = PartialState(cpu=True, timeout=LONGEST_WAIT)
        yield cls(state.process_index, state.num_processes, state.local_process_index)
        state.wait_for_everyone()
        state.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that shows progress and writes common files."""
        return self.index == 0

    def of(self, batches: Sequence[T]) -> Sequence[T]:
        """This process's batches."""
        return batches[self.index :: self.count]

    def gather(self, values: list[T]) -> list[T]:
        """The values of all processes; each process waits for the others."""
        if self.count == 1:
            return values
        from accelerate.utils import gather_object

        return gather_object(values)

    def device(self, name: str | None = None) -> torch.device:
        """Like `choose_device`, but the processes of a machine take different GPUs unless the name has a number."""
        device = choose_device(name)
        if device.type != "cuda" or device.index is not None or self.count == 1:
            return device
        device = torch.device("cuda", self.local_index % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return device

    def options(self, options: Options) -> Options:
        """The options with this process's device."""
        return replace(options, device=str(self.device(options.device)))


def cut_batches(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Batches of `size` neighbours, each of one category, so that a category has the same batches in every run."""
    batches = []
    for _, group in groupby(items, key=lambda item: item.category):
        members = list(group)
        batches += [members[start : start + size] for start in range(0, len(members), size)]
    return batches


def first_of_each_category(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` items of each category, in order; None takes all."""
    return [item for _, group in groupby(items, key=lambda item: item.category) for item in islice(group, limit)]


def item_seed(item: Item, seed: int) -> int:
    """The random seed of an item, in [0, 2^63); it depends only on the item's garment and the run's seed."""
    digest = hashlib.sha256(f"{seed} {item.category} {item.id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

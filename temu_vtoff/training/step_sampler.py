"""Which items make up which batch, and each item's random numbers: functions of the seed and the position in the run.

The stream of items is one seeded permutation of the data set after another. A step takes the next items of the stream,
whatever the number of processes, so a run on two processes sees what one process with twice the batch sees.
"""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class StepSampler(Sampler[list[int]]):
    """One process's batches from step `start` to step `stop`.

    A step takes the next `batch_size * num_processes` items of the stream, and process `rank` the `rank`th part of
    them.
    """

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        start: int,
        stop: int,
        seed: int,
        rank: int = 0,
        num_processes: int = 1,
    ) -> None:
        if num_items < 1:
            raise ValueError("There is nothing to train on: the data set is empty.")
        self.num_items, self.batch_size = num_items, batch_size
        self.start, self.stop, self.seed = start, stop, seed
        self.rank, self.num_processes = rank, num_processes

    def __len__(self) -> int:
        return max(self.stop - self.start, 0)

    def first_position(self, step: int) -> int:
        """The position in the stream at which this process's batch of a step begins."""
        return (step * self.num_processes + self.rank) * self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        epoch, order = -1, []
        for step in range(self.start, self.stop):
            first, batch = self.first_position(step), []
            for position in range(first, first + self.batch_size):
                if position // self.num_items != epoch:
                    epoch = position // self.num_items
                    order = shuffled(self.num_items, self.seed, epoch)
                batch.append(order[position % self.num_items])
            yield batch


def shuffled(count: int, seed: int, epoch: int = 0) -> list[int]:
    """The numbers below `count`, in an order that depends on seed and epoch."""
    return torch.randperm(count, generator=step_generator(seed, epoch)).tolist()


def item_generators(seed: int, first: int, count: int, stream: int = 0) -> list[torch.Generator]:
    """A random generator for each of `count` items, by their positions from `first` on.

    Args:
        stream: Gives other random numbers for the same positions.
    """
    return [step_generator(seed, position, stream) for position in range(first, first + count)]


def step_generator(seed: int, *position: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A random generator for one position of the run: (epoch,), (position, stream) and so on give unrelated numbers."""
    mixed = seed
    for part in (len(position), *position):  # splitmix64: neighbouring inputs give unrelated outputs
        mixed = (mixed + part + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 31
    return torch.Generator(device).manual_seed(mixed)

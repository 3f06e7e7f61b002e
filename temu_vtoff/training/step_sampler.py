"""Which items make up which batch: a function of the seed and the step, so that a resumed run sees the same ones."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class StepSampler(Sampler[list[int]]):
    """One process's batches from step `start` to step `stop`.

    The stream of items is one seeded permutation of the data set after another. A step takes the next
    `batch_size * num_processes` items of it, and process `rank` its share.
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

    def __iter__(self) -> Iterator[list[int]]:
        epoch, order = -1, []
        for step in range(self.start, self.stop):
            first = (step * self.num_processes + self.rank) * self.batch_size
            batch = []
            for position in range(first, first + self.batch_size):
                if position // self.num_items != epoch:
                    epoch = position // self.num_items
                    order = shuffled(self.num_items, self.seed, epoch)
                batch.append(order[position % self.num_items])
            yield batch


def shuffled(count: int, seed: int, epoch: int = 0) -> list[int]:
    """The numbers below `count`, in an order that depends on seed and epoch."""
    return torch.randperm(count, generator=step_generator(seed, epoch)).tolist()


def step_generator(seed: int, *position: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one place of the run: (epoch,), (step, rank) and so on give unrelated streams."""
    mixed = seed
    for part in (len(position), *position):  # splitmix64: neighbouring inputs give unrelated outputs
        mixed = (mixed + part + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 31
    return torch.Generator(device).manual_seed(mixed)

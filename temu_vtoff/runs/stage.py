"""The loop that every stage over a dataset goes through: what is left to do, the model for it, and what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from temu_vtoff.captioning.server import ServerUnreachableError
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.runs.reading import one_sentence, read_batches

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample, TryOffDataset

Model = TypeVar("Model")
Result = TypeVar("Result")
Progress = Callable[[Iterable], Iterable]  # wraps batches: a progress bar, say


def each_batch(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    *,
    is_done: Callable[[Item], bool],
    load_model: Callable[[], Model],
    failures: dict[Item, str],
    num_workers: int = 0,
    progress: Progress = iter,
) -> Iterator[tuple[Model, list[Sample]]]:
    """What was read of the batches with something left, each with the model, which is loaded at the first of them.

    A batch goes through the model whole, whatever an earlier run had finished of it, so that no result depends on
    where that run was stopped.

    Args:
        dataset: Reads the samples.
        is_done: Whether an item's result is there, whole.
        load_model: Called at most once, and never when nothing is left to do.
        failures: Gets one sentence on each item that can't be read.
        num_workers: Processes that read.
    """
    left = [batch for batch in batches if not all(map(is_done, batch))]
    model = None
    for read in progress(read_batches(dataset, left, num_workers)):
        failures |= dict(read.failures)
        if read.samples:
            model = load_model() if model is None else model
            yield model, read.samples


def each_result(
    make: Callable[[list[Sample]], Sequence[Result | Exception]], samples: list[Sample], failures: dict[Item, str]
) -> Iterator[tuple[Sample, Result]]:
    """The samples with what `make` makes of them. When a batch fails, each sample gets a batch of its own.

    Args:
        make: The model, called with several samples; an exception among its results fails that sample.
        failures: Gets one sentence on each sample that fails on its own.

    Raises:
        ArgumentError: As `make` raises it; like the next two it would be raised for every item.
        CheckpointError: Raised by `make`.
        ServerUnreachableError: Raised by `make`.
    """
    try:
        results = make(samples)
    except (ArgumentError, CheckpointError, ServerUnreachableError):
        raise
    except ValueError as error:
        if len(samples) == 1:
            failures[samples[0].item] = one_sentence(error, samples[0].item)
            return
        for sample in samples:
            yield from each_result(make, [sample], failures)
    else:
        for sample, result in zip(samples, results, strict=True):
            if isinstance(result, Exception):
                failures[sample.item] = one_sentence(result, sample.item)
            else:
                yield sample, result

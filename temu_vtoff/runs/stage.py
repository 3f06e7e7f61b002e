"""The loop of every stage over a dataset: skips finished batches, reads the others, and loads the model once."""

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
Progress = Callable[[Iterable], Iterable]  # wraps batches, for example in a progress bar


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
    """Yields the model and the samples of each unfinished batch.

    An unfinished batch goes through the model whole, finished items included, so that no result depends on where an
    earlier run was stopped.

    Args:
        dataset: Dataset that reads the samples.
        batches: Items of each batch.
        is_done: Whether an item's result exists and is whole.
        load_model: Loads the model; called at most once, and only if a batch is unfinished.
        failures: Gets one sentence on each item that can't be read.
        num_workers: Number of reading processes.
        progress: Wraps the batches, for example in a progress bar.
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
    """Yields the samples with their results. If a batch fails, each of its samples is tried alone.

    Args:
        make: Computes the results of several samples; an exception among its results fails that sample.
        samples: Samples of a batch.
        failures: Gets one sentence on each sample that fails alone.

    Raises:
        ArgumentError: Raised by `make`; like the next two, it would be raised for every sample.
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

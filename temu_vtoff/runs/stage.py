"""The loop of every stage over a dataset: skips finished batches, reads the others, and loads the model once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from temu_vtoff.errors import ArgumentError
from temu_vtoff.runs.reading import one_sentence, read_batches
from temu_vtoff.serving import ErrorRow, results_of

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
    make: Callable[[Sequence[Sample]], Sequence[Result | Exception]],
    samples: Sequence[Sample],
    failures: dict[Item, str],
    row: ErrorRow,
) -> Iterator[tuple[Sample, Result]]:
    """Yields the samples with their results. If a batch fails, each of its samples is tried alone.

    Args:
        make: Computes the results of several samples; an exception among its results fails that sample.
        samples: Samples of a batch.
        failures: Gets one sentence on each sample that fails alone.
        row: Shared by the batches of a stage.

    Raises:
        ArgumentError: Raised by `make`; all samples share the arguments.
        CommonCauseError: See `results_of`.
    """
    for sample, result in results_of(make, samples, row):
        if isinstance(result, ArgumentError):
            raise result
        if isinstance(result, Exception):
            failures[sample.item] = one_sentence(result, sample.item)
        else:
            yield sample, result

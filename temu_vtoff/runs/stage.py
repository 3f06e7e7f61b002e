"""The loop of every stage over a dataset: skips finished batches, reads the others, and loads the model once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from torch.utils.data import Dataset

from temu_vtoff.errors import ArgumentError
from temu_vtoff.runs.reading import naming_killed_readers, one_sentence, read_batches
from temu_vtoff.serving import ErrorRow, results_of

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, Sample

Model = TypeVar("Model")
Result = TypeVar("Result")
Progress = Callable[[Iterable], Iterable]  # wraps batches, for example in a progress bar


@naming_killed_readers()
def run_stage(
    dataset: Dataset,
    batches: Iterable[Sequence[Item]],
    *,
    is_done: Callable[[Item], bool],
    load_model: Callable[[], Model],
    make: Callable[[Model, Sequence[Sample]], Sequence[Result | Exception]],
    keep: Callable[[Model, Sample, Result], None],
    num_workers: int = 0,
    progress: Progress = iter,
) -> dict[Item, str]:
    """Makes and keeps the results that are missing.

    An unfinished batch goes through the model whole, finished items included, so that no result depends on where an
    earlier run was stopped. If a batch fails, each of its samples is tried alone.

    Args:
        dataset: Dataset that reads the samples.
        batches: Items of each batch.
        is_done: Whether an item's result exists and is whole.
        load_model: Loads the model; called at most once, and only if a batch is unfinished.
        make: Computes the results of several samples; an exception among its results fails that sample.
        keep: Writes the result of an unfinished item; a `ValueError` fails that item.
        num_workers: Number of reading processes.
        progress: Wraps the batches, for example in a progress bar.

    Returns:
        One sentence on each item without a result.

    Raises:
        ArgumentError: Raised by `make` or `keep`; all samples share the arguments.
        CommonCauseError: See `results_of` and `naming_killed_readers`.
    """
    left = [batch for batch in batches if not all(map(is_done, batch))]
    failures: dict[Item, str] = {}
    row = ErrorRow()
    model = None
    for read in progress(read_batches(dataset, left, num_workers)):
        failures |= dict(read.failures)
        if read.samples and model is None:
            model = load_model()
        for sample, result in results_of(partial(make, model), read.samples, row):
            error = result if isinstance(result, Exception) else None
            if error is None and not is_done(sample.item):
                try:
                    keep(model, sample, result)
                except ValueError as refused:
                    error = refused
            if isinstance(error, ArgumentError):
                raise error
            if error is not None:
                failures[sample.item] = one_sentence(error, sample.item)
    return failures

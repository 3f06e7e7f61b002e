"""Runs a stage over all phases of a dataset, and collects the outcome of all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temu_vtoff.datasets import PHASES, open_dataset
from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import remove_leftovers
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.runs.sharing import cut_batches

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, TryOffDataset
    from temu_vtoff.runs.sharing import Share

Progress = Callable[[Iterable, str], Iterable]  # wraps batches, with the name of the stage


def silent(batches: Iterable, stage: str) -> Iterable:
    """No progress shown."""
    return batches


@dataclass(frozen=True)
class Outcome:
    """The results of a run in all processes.

    Attributes:
        total: Number of items.
        failures: Key and reason of each failed item; the next run tries them again.
        notes: Key and remark of each item with an unexpected result, such as a substituted label.
    """

    total: int
    failures: Sequence[tuple[str, str]]
    notes: Sequence[tuple[str, str]] = ()

    @property
    def done(self) -> int:
        return self.total - len(self.failures)


def gather_outcome(
    share: Share, total: int, failures: Mapping[Item, str], notes: Mapping[Item, str] | None = None
) -> Outcome:
    """Waits for the other processes and joins their failures and notes.

    Args:
        total: Number of items of all processes.
        failures: Errors of this process's items.
        notes: Remarks on this process's items.
    """

    def gather(texts: Mapping[Item, str]) -> list[tuple[str, str]]:
        return share.gather([(item.key, text) for item, text in texts.items()])

    return Outcome(total, gather(failures), gather(notes or {}))


def open_phases(name: str, root: str | Path, phase: str = "all", **options: Any) -> list[TryOffDataset]:
    """The dataset once for each phase.

    Args:
        phase: One of `PHASES`, or "all".
        options: Arguments of `TryOffDataset`.
    """
    return [open_dataset(name, root, phase=one, **options) for one in (PHASES if phase == "all" else (phase,))]


def require_unique_ids(datasets: Sequence[TryOffDataset]) -> None:
    """
    Raises:
        ArgumentError: Captions, which go by item id, would be mixed up between categories or phases.
    """
    for dataset in datasets:
        dataset.require_unique_ids()
    ids = [{item.id for item in dataset.items} for dataset in datasets]
    if len(ids) > 1 and (shared := sorted(set.intersection(*ids))):
        raise ArgumentError(f"Item {shared[0]} is in both phases, and captions go by id: name one {{phase}}.", "phase")


def run_phases(
    datasets: Sequence[TryOffDataset],
    stage: Callable[..., dict[Item, str]],
    *,
    share: Share,
    batch_size: int,
    what: str,
    progress: Progress = silent,
    notes: Mapping[Item, str] | None = None,
) -> Outcome:
    """Runs a stage over several phases: this process's share of the work, then waits for the others.

    Args:
        stage: Called as stage(dataset, batches, progress=...) for each phase; returns the errors by item.
        what: Name of the stage, for the progress.
        progress: Wraps the batches; used in the first process only.
        notes: Remarks by item, which the stage fills in.
    """
    failures: dict[Item, str] = {}
    for dataset in datasets:
        batches = share.of(cut_batches(dataset.items, batch_size))
        shown = partial(_show, progress if share.is_first else silent, f"{what} {dataset.phase}")
        failures |= stage(dataset, batches, progress=shown)
    return gather_outcome(share, sum(map(len, datasets)), failures, notes)


def finish(
    share: Share, output_dir: Path, outcome: Outcome, *, arguments: Mapping[str, Any], started: float, **facts: Any
) -> None:
    """Ends a run: the first process removes temporary files and writes run.json.

    Args:
        arguments: Argument of `write_run_record`, like `started` and `facts`.
    """
    if share.is_first:
        remove_leftovers(output_dir)
        failed = len(outcome.failures)
        write_run_record(output_dir, arguments, started, processes=share.count, failed=failed, **facts)


def _show(progress: Progress, stage: str, batches: Iterable) -> Iterable:
    return progress(batches, stage)

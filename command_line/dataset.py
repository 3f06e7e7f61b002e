"""What the scripts that go over a dataset share: its flags, opening it, progress, and the end of a run."""

import argparse
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import command_line
from temu_vtoff.datasets import DATASETS, FEATURE_DTYPES, PHASES, open_dataset
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.masks import CATEGORIES

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, TryOffDataset
    from temu_vtoff.runs.sharing import Share

SHOWN_FAILURES = 20


def add_dataset_flags(
    parser: argparse.ArgumentParser, required: bool = True, phase: str = "test", every_phase: bool = False
) -> "argparse._ArgumentGroup":
    """Which items a run is about.

    Args:
        phase: The default.
        every_phase: Whether "all" is a phase too; `open_phases` takes it.

    Returns:
        The group, for flags that belong there too.
    """
    group = parser.add_argument_group("dataset")
    add = group.add_argument
    add("--dataset_name", required=required, choices=DATASETS, help="its layout")
    add("--dataset_root", required=required, type=Path, help="its folder; nothing is written there")
    add("--phase", default=phase, choices=(*PHASES, "all") if every_phase else PHASES, help="split")
    add("--category", default="all", choices=(*CATEGORIES, "all"), help="one category only")
    return group


def add_feature_flags(
    parser: argparse.ArgumentParser, what: str, image_encoders: bool
) -> "tuple[argparse._ArgumentGroup, argparse._ArgumentGroup]":
    """What the scripts that write features have in common.

    Args:
        what: What is encoded.
        image_encoders: Whether by the pipeline's image encoders.

    Returns:
        The groups of flags on the dataset and on the way of working, for flags that belong there too.
    """
    dataset = add_dataset_flags(parser, phase="all", every_phase=True)
    dataset.add_argument("--output_dir", required=True, type=Path, help="where the features go")
    how = parser.add_argument_group("how")
    how.add_argument("--dtype", default="fp16", choices=FEATURE_DTYPES, help="of the files")
    how.add_argument("--batch_size", type=command_line.positive, default=16, help=f"{what} encoded at once")
    command_line.add_model_flags(parser, stages=False, image_encoders=image_encoders)
    command_line.add_device_flags(parser, offload=False)
    return dataset, how


def open_phases(args: argparse.Namespace, **options: Any) -> "list[TryOffDataset]":
    """The dataset chosen by the flags, once for each phase; `options` as for `TryOffDataset`."""
    phases = PHASES if args.phase == "all" else (args.phase,)
    where = {"name": args.dataset_name, "root": args.dataset_root, "category": args.category}
    return [open_dataset(**where, phase=phase, **options) for phase in phases]


def require_unique_ids(datasets: "list[TryOffDataset]") -> None:
    """
    Raises:
        ValueError: Captions, which go by item id, would be mixed up between categories or phases.
    """
    for dataset in datasets:
        dataset.require_unique_ids()
    ids = [{item.id for item in dataset.items} for dataset in datasets]
    if len(ids) > 1 and (shared := sorted(set.intersection(*ids))):
        raise ValueError(f"Item {shared[0]} is in both phases, and captions go by item: name one --phase.")


def progress(share: "Share", what: str) -> Callable[[Iterable], Iterable]:
    """A progress bar in the first process, of its own share; nothing in the others."""
    return partial(command_line.progress, what=what) if share.is_first else iter


def show_warnings() -> None:
    """Warnings meant for people become lines on the screen."""
    warnings.simplefilter("ignore", FutureWarning)  # of libraries
    warnings.showwarning = lambda message, *_: command_line.say(f"warning: {message}")


def gather_failures(share: "Share", failures: "dict[Item, str]", where: str = "") -> int:
    """Waits for the other processes, tells in the first what failed in all of them, and counts it.

    Args:
        where: Names the place of the whole list, when there is more than is told here; may be empty.
    """
    found = share.gather([(item.key, reason) for item, reason in failures.items()])
    if share.is_first and found:
        for key, reason in found[:SHOWN_FAILURES]:
            command_line.say(f"failed: {key}: {reason}")
        more = f" {where}" if where and len(found) > SHOWN_FAILURES else ""
        command_line.say(f"{len(found)} items failed; the next run tries them again.{more}")
    return len(found)


def finish(
    share: "Share",
    output_dir: Path,
    args: argparse.Namespace,
    started: float,
    failures: "dict[Item, str]",
    datasets: "list[TryOffDataset]",
    what: str,
) -> int:
    """The end of a run that writes a file for each item: tidies up and tells, as `gather_failures`, what came of it.

    Args:
        started: `time.time()` at the start.
        what: Which files.

    Returns:
        The number of failed items.
    """
    from temu_vtoff.files import remove_leftovers

    failed = gather_failures(share, failures)
    if share.is_first:
        remove_leftovers(output_dir)
        write_run_record(output_dir, vars(args), started, processes=share.count, failed=failed)
        total = sum(map(len, datasets))
        print(f"{output_dir}: {total - failed} of {total} {what}")
    return failed

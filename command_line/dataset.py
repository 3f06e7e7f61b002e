"""Shared parts of the scripts that process a dataset: flags, and the report at the end."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import command_line
from temu_vtoff.datasets import DATASETS, FEATURE_DTYPES, PHASES
from temu_vtoff.segmentation.categories import DATASET_CATEGORIES

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item, TryOffDataset
    from temu_vtoff.runs.phases import Outcome
    from temu_vtoff.runs.sharing import Share

SHOWN = 20  # at most, of failures and of notes


def add_dataset_flags(
    parser: argparse.ArgumentParser,
    *,
    required: bool = True,
    phase: str = "test",
    every_phase: bool = False,
    category: bool = True,
) -> "argparse._ArgumentGroup":
    """Adds the flags that choose the items.

    Args:
        phase: Default of --phase.
        every_phase: Whether --phase may be "all".
        category: Whether to add --category.

    Returns:
        The group, for further flags.
    """
    group = parser.add_argument_group("dataset")
    add = group.add_argument
    add("--dataset_name", required=required, choices=DATASETS, help="layout of the dataset")
    add("--dataset_root", required=required, type=Path, help="folder of the dataset; nothing is written there")
    add("--phase", default=phase, choices=(*PHASES, "all") if every_phase else PHASES, help="split of the dataset")
    if category:
        add("--category", default="all", choices=(*DATASET_CATEGORIES, "all"), help="garment category")
    return group


def add_reading_flags(
    group: "argparse._ArgumentGroup", what: str, batch_size: int, num_workers: int | None = 2
) -> None:
    """Adds --batch_size and --num_workers.

    Args:
        what: Name of the items in the help: "photos".
        batch_size: Default of --batch_size.
        num_workers: Default of --num_workers; None leaves the flag out.
    """
    group.add_argument(
        "--batch_size", type=command_line.positive, default=batch_size, help=f"{what} that go through the model at once"
    )
    if num_workers is not None:
        group.add_argument("--num_workers", type=int, default=num_workers, help="processes that read pictures")


def add_caption_file_flag(group: "argparse._ArgumentGroup", required: bool = False) -> None:
    """Adds --caption_file, which the release calls --coarse_caption_file."""
    group.add_argument(
        *("--caption_file", "--coarse_caption_file"),
        required=required,
        type=Path,
        help="captions, JSON {item id: [caption]}",
    )


def add_feature_flags(
    parser: argparse.ArgumentParser, what: str, image_encoders: bool
) -> "tuple[argparse._ArgumentGroup, argparse._ArgumentGroup]":
    """Adds the flags of the scripts that write features.

    Args:
        what: Name of the items in the help: "photos".
        image_encoders: Whether the pipeline's image encoders encode them.

    Returns:
        The groups "dataset" and "encoding", for further flags.
    """
    dataset = add_dataset_flags(parser, phase="all", every_phase=True)
    dataset.add_argument("--output_dir", required=True, type=Path, help="folder for the features")
    how = parser.add_argument_group("encoding")
    how.add_argument("--dtype", default="fp16", choices=FEATURE_DTYPES, help="precision of the files")
    add_reading_flags(how, what, batch_size=16, num_workers=2 if image_encoders else None)
    command_line.add_model_flags(parser, stages=False, image_encoders=image_encoders)
    command_line.add_device_flags(parser, offload=False)
    return dataset, how


def report(outcome: "Outcome", where: str = "") -> None:
    """Prints the notes and failures of a run on standard error.

    Args:
        where: Sentence on where to find the whole list of failures, for when it is too long to be printed.
    """
    for kind, lines in (("note", outcome.notes), ("failed", outcome.failures)):
        for key, reason in lines[:SHOWN]:
            command_line.say(f"{kind}: {key}: {reason}")
        if len(lines) > SHOWN:
            command_line.say(f"and {len(lines) - SHOWN} more.{f' {where}' if where and kind == 'failed' else ''}")
    if outcome.failures:
        command_line.say(f"{len(outcome.failures)} items failed; the next run tries them again.")


def open_phases(args: argparse.Namespace, **options: Any) -> "list[TryOffDataset]":
    """The dataset of the flags once for each phase; arguments of `temu_vtoff.runs.phases.open_phases`."""
    from temu_vtoff.runs import phases

    category = "all" if args.category is None else args.category
    return phases.open_phases(args.dataset_name, args.dataset_root, args.phase, category=category, **options)


def run_phases(
    args: argparse.Namespace,
    datasets: "list[TryOffDataset]",
    stage: "Callable[..., dict[Item, str]]",
    *,
    share: "Share",
    what: str,
    started: float,
    notes: "dict[Item, str] | None" = None,
) -> int:
    """Runs one stage over all phases, from progress bar to `conclude`, whose status it returns.

    Args:
        stage: Argument of `temu_vtoff.runs.phases.run_phases`, like `share` and `notes`.
        what: What the stage does and with what, for example "encode captions".
        started: `time.time()` at the start.
    """
    from temu_vtoff.runs import phases

    doing, made = what.split()
    how = {"batch_size": args.batch_size, "what": doing, "progress": command_line.progress}
    outcome = phases.run_phases(datasets, stage, share=share, notes=notes, **how)
    return conclude(args, outcome, args.output_dir, share=share, made=made, started=started)


def conclude(
    args: argparse.Namespace,
    outcome: "Outcome",
    folder: Path,
    *,
    share: "Share",
    made: str,
    where: str = "",
    **facts: Any,
) -> int:
    """Ends a run over a dataset: the first process writes run.json and says what was made and what failed.

    Args:
        folder: Folder of the results.
        made: Name of the results, for example "pictures".
        where: Argument of `report`.
        facts: Further arguments of `temu_vtoff.runs.phases.finish`.

    Returns:
        The exit status.
    """
    from temu_vtoff.runs.phases import finish

    finish(share, folder, outcome, arguments=vars(args), **facts)
    if share.is_first:
        report(outcome, where)
        print(f"{folder}: {outcome.done} of {outcome.total} {made}")
    return 1 if outcome.failures else 0

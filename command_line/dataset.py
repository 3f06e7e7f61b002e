"""What the scripts that go over a dataset share: its flags, and what they say at the end."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
from temu_vtoff.datasets import DATASETS, FEATURE_DTYPES, PHASES
from temu_vtoff.segmentation.masks import CATEGORIES

if TYPE_CHECKING:
    from temu_vtoff.runs.phases import Outcome

SHOWN = 20  # failures and notes


def add_dataset_flags(
    parser: argparse.ArgumentParser,
    *,
    required: bool = True,
    phase: str = "test",
    every_phase: bool = False,
    category: bool = True,
) -> "argparse._ArgumentGroup":
    """Which items a run is about.

    Args:
        phase: The default.
        every_phase: Whether "all" is a phase too; `open_phases` takes it.
        category: Whether to add --category.

    Returns:
        The group, for flags that belong there too.
    """
    group = parser.add_argument_group("dataset")
    add = group.add_argument
    add("--dataset_name", required=required, choices=DATASETS, help="layout of the dataset")
    add("--dataset_root", required=required, type=Path, help="folder of the dataset; nothing is written there")
    add("--phase", default=phase, choices=(*PHASES, "all") if every_phase else PHASES, help="split of the dataset")
    if category:
        add("--category", default="all", choices=(*CATEGORIES, "all"), help="garment category")
    return group


def add_reading_flags(
    group: "argparse._ArgumentGroup", what: str, batch_size: int, num_workers: int | None = 2
) -> None:
    """How items are batched and read.

    Args:
        what: What a batch holds.
        batch_size: The default.
        num_workers: The default; None where no pictures are read.
    """
    group.add_argument(
        "--batch_size", type=command_line.positive, default=batch_size, help=f"{what} that go through the model at once"
    )
    if num_workers is not None:
        group.add_argument("--num_workers", type=int, default=num_workers, help="processes that read pictures")


def add_caption_file_flag(group: "argparse._ArgumentGroup", required: bool = False) -> None:
    """Captions by item id; the release calls the flag --coarse_caption_file."""
    group.add_argument(
        *("--caption_file", "--coarse_caption_file"),
        required=required,
        type=Path,
        help="captions, JSON {item id: [caption]}",
    )


def add_feature_flags(
    parser: argparse.ArgumentParser, what: str, image_encoders: bool
) -> "tuple[argparse._ArgumentGroup, argparse._ArgumentGroup]":
    """What the scripts that write features have in common.

    Args:
        what: What is encoded.
        image_encoders: Whether the pipeline's image encoders encode it.

    Returns:
        The groups of flags on the dataset and on the way of working, for flags that belong there too.
    """
    dataset = add_dataset_flags(parser, phase="all", every_phase=True)
    dataset.add_argument("--output_dir", required=True, type=Path, help="folder for the features")
    how = parser.add_argument_group("encoding")
    how.add_argument("--dtype", default="fp16", choices=FEATURE_DTYPES, help="precision of the files")
    add_reading_flags(how, what, batch_size=16, num_workers=2 if image_encoders else None)
    command_line.add_model_flags(parser, stages=False, image_encoders=image_encoders)
    command_line.add_device_flags(parser, offload=False)
    return dataset, how


def tell(outcome: "Outcome", where: str = "") -> None:
    """Says on standard error what failed, and what came out otherwise than one would think.

    Args:
        where: Names the place of the whole list of failures, when there are more than are shown here.
    """
    for kind, lines in (("note", outcome.notes), ("failed", outcome.failures)):
        for key, reason in lines[:SHOWN]:
            command_line.say(f"{kind}: {key}: {reason}")
        if len(lines) > SHOWN:
            command_line.say(f"and {len(lines) - SHOWN} more.{f' {where}' if where and kind == 'failed' else ''}")
    if outcome.failures:
        command_line.say(f"{len(outcome.failures)} items failed; the next run tries them again.")

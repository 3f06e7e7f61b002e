"""The flags that the scripts of the built-in model's parts share. It doesn't import torch, so that `--help` is fast."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from builtin_training.settings import OPTIMIZERS, BuiltinSettings
from command_line.config import add_config_flag
from temu_vtoff.hardware import PRECISIONS


def add_arguments(
    parser: argparse.ArgumentParser,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    ema_decay: float = 0.998,
    written_by: str = "python -m drawn_people",
) -> None:
    """Adds the shared flags, with a script's own defaults. They are named as train.py's; old names are aliases.

    Args:
        written_by: The command that writes the training data.
    """

    def add(name: str, *old_names: str, **options: Any) -> None:
        parser.add_argument(f"--{name}", *(f"--{old}" for old in old_names), dest=name, **options)

    add_config_flag(parser)
    add("dataset_root", "data_root", type=Path, required=True, help=f"folder that `{written_by}` wrote")
    add("output_dir", type=Path, required=True, help="folder of the run; the part is written into it")
    add("max_train_steps", "steps", type=int, default=steps, help="optimizer steps")
    add(
        "train_batch_size", "batch_size", type=int, default=batch_size, help="items per step, of all processes together"
    )
    add("learning_rate", type=float, default=learning_rate, help="peak learning rate")
    add(
        "lr_warmup_steps",
        "warmup_steps",
        type=int,
        default=100,
        help="steps of linear warm-up",
    )
    add(
        "lr_scheduler",
        choices=[*BuiltinSettings.schedules()],
        default=BuiltinSettings.lr_scheduler,
        help="learning rate after the warm-up",
    )
    add(
        "optimizer",
        choices=OPTIMIZERS,
        default=OPTIMIZERS[0],
        help="muon: orthogonalized steps for the blocks' matrices, AdamW for the rest",
    )
    add("adam_weight_decay", "weight_decay", type=float, default=0.01, help="weight decay")
    add("ema_decay", type=float, default=ema_decay, help="decay of the averaged weights, which become the part")
    add("seed", type=int, default=0, help="random seed")
    add("resume_from_checkpoint", help='name of a checkpoint, or "latest"')
    parser.add_argument(
        "--resume", dest="resume_from_checkpoint", action="store_const", const="latest", help=argparse.SUPPRESS
    )
    add("logging_steps", "log_steps", type=int, default=20, help="steps between rows of metrics.jsonl")
    add("checkpointing_steps", "checkpoint_steps", type=int, default=250, help="steps between checkpoints")
    add("validation_steps", type=int, default=500, help="steps between validations")
    add("num_validation_items", "validation_items", type=int, default=96, help="test items, of all categories together")
    add("mixed_precision", choices=PRECISIONS, help="default: bf16 if the device multiplies it")
    add("device", help="cpu, or the kind of the machine's GPU; default: the best available")

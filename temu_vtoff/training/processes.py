"""The accelerator of a training, in one process or many."""

from __future__ import annotations

import os
from datetime import timedelta
from importlib.util import find_spec

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import DistributedDataParallelKwargs

from temu_vtoff.errors import ArgumentError
from temu_vtoff.hardware.cpu import keep_freed_memory
from temu_vtoff.hardware.devices import choose_device, choose_training_precision

LONGEST_WAIT = timedelta(days=1)  # one process encodes the data, the others wait


def make_accelerator(
    *,
    mixed_precision: str | None = None,
    gradient_accumulation_steps: int = 1,
    report_to: str = "none",
    folder: str | None = None,
    cpu: bool = False,
    find_unused_parameters: bool = False,
) -> Accelerator:
    """This process's accelerator; `torchrun` or `accelerate launch` may have started other processes.

    Args:
        mixed_precision: "no", "fp16" or "bf16"; None leaves it to accelerate's configuration and the device.
        report_to: One of `TRACKERS`; its files go into `folder`.
        cpu: Train on the CPU even if there is a GPU.
        find_unused_parameters: Whether some steps leave parameters without gradient.

    Raises:
        ArgumentError: The tracker isn't installed, or the launcher started fewer processes than it was asked for.
    """
    if report_to != "none" and find_spec(report_to) is None:
        raise ArgumentError(
            f"{{report_to}} {report_to} needs a package: pip install {report_to}, or choose none.", "report_to"
        )
    cpu = cpu or trains_on_cpu()
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=choose_training_precision(mixed_precision, torch.device("cpu") if cpu else choose_device()),
        gradient_accumulation_steps=gradient_accumulation_steps,
        log_with=None if report_to == "none" else report_to,
        project_dir=folder,
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=LONGEST_WAIT),
            DistributedDataParallelKwargs(find_unused_parameters=find_unused_parameters),
        ],
    )
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    return accelerator


def trains_on_cpu() -> bool:
    """Whether to train on the CPU: accelerate is configured to, or several processes were started without GPUs.

    Raises:
        ArgumentError: `accelerate launch --cpu` was asked for several processes; it starts a single one.
    """
    asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    started = int(os.environ.get("WORLD_SIZE", 1))
    if asked and "MASTER_PORT" in os.environ and "LOCAL_RANK" not in os.environ and started == 1:
        raise ArgumentError(
            "`accelerate launch --cpu` starts one process only, whatever its --num_processes: start several on a CPU "
            "with `torchrun --nproc_per_node 2 train.py ...`."
        )
    return asked or (started > 1 and choose_device().type != "cuda" and not _has_other_accelerator())


def _has_other_accelerator() -> bool:
    """Whether there is an accelerator other than CUDA and MPS through which processes can communicate."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return device is not None and device.type not in ("cuda", "mps")

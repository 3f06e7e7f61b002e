"""The training of the built-in model's other parts: the library's loop, for whatever loss a script has.

Networks this small gain nothing from a second thread. On a CPU several processes share each batch instead:

    OMP_NUM_THREADS=1 torchrun --nproc_per_node 2 -m builtin_training.train_captioner --dataset_root runs/drawn ...
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builtin_training.settings import OPTIMIZERS
from command_line.config import add_config_flag
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hardware import PRECISIONS
from temu_vtoff.training.settings import Plan

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import nn

BETAS = (0.9, 0.99)  # of AdamW
EPSILON = 1e-8


@dataclass(frozen=True)
class Step:
    """One step's place in the run, its items and its random generator."""

    number: int
    total: int
    items: list[int]
    rng: torch.Generator

    @property
    def progress(self) -> float:
        """From 0 at the first step to 1 at the end."""
        return self.number / self.total


def add_arguments(
    parser: argparse.ArgumentParser, *, steps: int, batch_size: int, learning_rate: float, ema_decay: float = 0.998
) -> None:
    """The flags of every part's script, with that script's defaults; named as train.py's; their old names are kept."""

    def add(name: str, *old_names: str, **options: Any) -> None:
        parser.add_argument(f"--{name}", *(f"--{old}" for old in old_names), dest=name, **options)

    add_config_flag(parser)
    add("dataset_root", "data_root", type=Path, required=True, help="folder that `python -m drawn_people` wrote")
    add("output_dir", type=Path, required=True, help="folder of the run; the part is written into it")
    add("max_train_steps", "steps", type=int, default=steps, help="optimizer steps")
    add(
        "train_batch_size", "batch_size", type=int, default=batch_size, help="items per step, of all processes together"
    )
    add("learning_rate", type=float, default=learning_rate, help="peak learning rate")
    add("lr_warmup_steps", "warmup_steps", type=int, default=100, help="steps of linear warm-up; then cosine to zero")
    add("optimizer", choices=OPTIMIZERS, default=OPTIMIZERS[0], help="muon: orthogonalized steps for blocks' matrices")
    add("adam_weight_decay", "weight_decay", type=float, default=0.01, help="weight decay")
    add("ema_decay", type=float, default=ema_decay, help="decay of the averaged weights, which are written")
    add("seed", type=int, default=0, help="random seed")
    add("resume_from_checkpoint", help='name of a checkpoint, or "latest"')
    parser.add_argument(
        "--resume", dest="resume_from_checkpoint", action="store_const", const="latest", help=argparse.SUPPRESS
    )
    add("logging_steps", "log_steps", type=int, default=20, help="steps between rows of metrics.jsonl")
    add("checkpointing_steps", "checkpoint_steps", type=int, default=250, help="steps between checkpoints")
    add("validation_steps", type=int, default=500, help="steps between validations")
    add("num_validation_items", "validation_items", type=int, default=96, help="test items, of all categories together")
    add("mixed_precision", choices=PRECISIONS, help="default: bf16 where the device has it")
    add("device", help="cpu, or the kind of the machine's GPU; default: the best there is")


def initialize(model: nn.Module) -> None:
    """Initialises linear and convolution weights so that each layer keeps the scale of its input. The usual deviation
    of 0.02 fits layers a thousand wide; in narrow ones it nearly cuts off the residual branches, for a long time."""
    from torch import nn

    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def train(
    model: nn.Module,
    loss: Callable[[nn.Module, Step], dict[str, torch.Tensor]],
    validate: Callable[[nn.Module], dict[str, float]],
    num_items: int,
    args: argparse.Namespace,
) -> nn.Module:
    """Trains in place, with warm-up and cosine, and returns the model with its averaged weights.

    Of several processes, started by torchrun, each takes its part of a batch; only the first one returns.

    Args:
        model: Everything that is trained, heads that are not kept included.
        loss: The losses of one step by name, scalars; "loss" is what to minimise. Dropout and the like may draw from
            torch's default generator, which is seeded for each step.
        validate: Scores by name, of the averaged weights.
        num_items: How many training items there are; a step has the positions of its own.
        args: As by `add_arguments`.

    Raises:
        ArgumentError: The folder holds another run, a checkpoint can't be resumed, or the loss diverges.
    """
    import torch

    from temu_vtoff.files import writable_folder
    from temu_vtoff.runs.record import write_run_record
    from temu_vtoff.training.loop import run_steps
    from temu_vtoff.training.run_folder import RunFolder
    from temu_vtoff.training.step_sampler import StepSampler, step_generator
    from temu_vtoff.training.training_run import TrainingRun

    started = time.time()
    folder, accelerator = RunFolder(writable_folder(args.output_dir), keep_last=1), _make_accelerator(args)
    model = model.to(accelerator.device).train()
    with folder.locked(accelerator.is_main_process):
        run = TrainingRun(
            folder,
            accelerator,
            _objective(model, loss),
            _make_optimizer(model, args),
            ema_decay=args.ema_decay,
            validate=lambda step: _validated(model, validate),
        )
        start, rank, count = (
            run.resume(args.resume_from_checkpoint),
            accelerator.process_index,
            accelerator.num_processes,
        )
        batches = StepSampler(
            num_items=num_items,
            batch_size=args.train_batch_size // count,
            start=start,
            stop=args.max_train_steps,
            seed=args.seed,
            rank=rank,
            num_processes=count,
        )

        def losses_of(number: int, items: list[int]) -> dict[str, torch.Tensor]:
            rng = step_generator(args.seed, number, rank)
            torch.manual_seed(rng.initial_seed())
            with accelerator.autocast():
                return run.model(Step(number, args.max_train_steps, items, rng))

        with run:
            steps = run_steps(run, _plan(args), batches, losses_of, start)
            if accelerator.is_main_process:
                write_run_record(folder.path, vars(args), started, steps=steps, processes=count)
            accelerator.wait_for_everyone()
            accelerator.end_training()
    if run.stopped:
        raise SystemExit(130)
    if not accelerator.is_main_process:
        raise SystemExit  # its part is done
    run.ema.copy_to_parameters()
    return model.eval()


def _make_accelerator(args: argparse.Namespace) -> Accelerator:
    from temu_vtoff.training.processes import make_accelerator

    accelerator = make_accelerator(
        mixed_precision=args.mixed_precision, cpu=args.device == "cpu", find_unused_parameters=True
    )
    if args.device not in (None, accelerator.device.type):
        raise ArgumentError(
            f"{{device}} is {args.device}, but trainings here run on {accelerator.device.type} or cpu; "
            "CUDA_VISIBLE_DEVICES chooses among several GPUs.",
            "device",
        )
    if args.train_batch_size % accelerator.num_processes:
        raise ArgumentError(
            f"{{train_batch_size}} is {args.train_batch_size}; give a multiple of the {accelerator.num_processes} "
            "processes, which share each batch.",
            "train_batch_size",
        )
    return accelerator


def _make_optimizer(model: nn.Module, args: argparse.Namespace) -> torch.optim.Optimizer:
    from builtin_training.muon import make_muon
    from temu_vtoff.training.optimization import make_optimizer

    settings = {"learning_rate": args.learning_rate, "betas": BETAS, "weight_decay": args.adam_weight_decay}
    settings["epsilon"] = EPSILON
    return make_muon(model, settings) if args.optimizer == "muon" else make_optimizer(model.parameters(), **settings)


def _objective(model: nn.Module, loss: Callable[[nn.Module, Step], dict[str, torch.Tensor]]) -> nn.Module:
    """The loss as a module: on several processes gradients are averaged for what is computed in `forward`."""
    from torch import nn

    class Objective(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, step: Step) -> dict[str, torch.Tensor]:
            return loss(self.model, step)

    return Objective()


def _plan(args: argparse.Namespace) -> Plan:
    return Plan(
        steps=args.max_train_steps,
        learning_rate=args.learning_rate,
        warmup=args.lr_warmup_steps,
        logging_steps=args.logging_steps,
        validation_steps=args.validation_steps,
        checkpointing_steps=args.checkpointing_steps,
    )


def _validated(model: nn.Module, validate: Callable[[nn.Module], dict[str, float]]) -> dict[str, float]:
    import torch

    model.eval()
    with torch.no_grad():
        scores = {f"validation_{name}": value for name, value in validate(model).items()}
    model.train()
    return scores

"""Trains a part of the built-in model (not the transformers) by the library's loop, with the loss of the part's script.

Networks this small gain nothing from a second thread. On a CPU several processes share each batch instead:

    OMP_NUM_THREADS=1 torchrun --nproc_per_node 2 -m builtin_training.train_captioner --dataset_root runs/drawn ...
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from builtin_training.muon import make_muon
from builtin_training.settings import BuiltinSettings
from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import writable_folder
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.training.loop import run_steps
from temu_vtoff.training.optimization import make_optimizer
from temu_vtoff.training.processes import make_accelerator
from temu_vtoff.training.run_folder import RunFolder
from temu_vtoff.training.settings import Plan
from temu_vtoff.training.step_sampler import StepSampler, step_generator
from temu_vtoff.training.training_run import TrainingRun

BETAS = (0.9, 0.99)  # AdamW's
EPSILON = 1e-8


@dataclass(frozen=True)
class Step:
    """One step's position in the run, its items and its random generator."""

    number: int
    total: int
    items: list[int]
    rng: torch.Generator

    @property
    def progress(self) -> float:
        """From 0 at the first step to 1 at the end."""
        return self.number / self.total


def initialize(model: nn.Module) -> None:
    """Initialises linear and convolution weights so that each layer keeps the scale of its input. The usual deviation
    of 0.02 fits layers a thousand wide; in narrow ones it nearly cuts off the residual branches."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def train(
    model: nn.Module,
    *,
    loss: Callable[[nn.Module, Step], dict[str, torch.Tensor]],
    validate: Callable[[nn.Module], dict[str, float]],
    num_items: int,
    args: argparse.Namespace,
    export: Callable[[Path], None] | None = None,
) -> nn.Module:
    """Trains in place, and returns the model with its averaged weights.

    Processes that torchrun started share each batch; only the first one returns.

    Args:
        model: All modules to train, including heads that are not kept.
        loss: The losses of one step by name, scalars; "loss" is what to minimise. Dropout and the like may draw from
            torch's default generator, which is seeded for each step.
        validate: Scores by name, of the averaged weights.
        num_items: Number of training items; a step has the positions of its items.
        args: Flags of `part_flags`.
        export: Writes the current part into a folder, at every checkpoint; None writes checkpoints only.

    Raises:
        ArgumentError: The folder holds another run, a checkpoint can't be resumed, or the loss diverges.
    """
    started = time.time()
    folder, accelerator = RunFolder(writable_folder(args.output_dir), keep_last=1), _make_accelerator(args)
    model = model.to(accelerator.device).train()
    with folder.locked(accelerator.is_main_process):
        run = TrainingRun(
            folder,
            accelerator,
            _Objective(model, loss),
            _make_optimizer(model, args),
            ema_decay=args.ema_decay,
            validate=lambda step: _validated(model, validate),
            export=export,
        )
        start = run.resume(args.resume_from_checkpoint)

        def losses_of(number: int, items: list[int]) -> dict[str, torch.Tensor]:
            rng = step_generator(args.seed, number, accelerator.process_index)
            torch.manual_seed(rng.initial_seed())
            with accelerator.autocast():
                return run.model(Step(number, args.max_train_steps, items, rng))

        with run:
            steps = run_steps(run, _plan(args), _batches(args, num_items, start, accelerator), losses_of, start=start)
            if accelerator.is_main_process:
                facts = {"steps": steps, "processes": accelerator.num_processes}
                write_run_record(folder.path, vars(args), started, **facts)
            accelerator.wait_for_everyone()
            accelerator.end_training()
    if run.stopped:
        raise SystemExit(130)
    if not accelerator.is_main_process:
        raise SystemExit  # the first process writes the part
    run.ema.copy_to_parameters()
    return model.eval()


class _Objective(nn.Module):
    """The loss as a module: on several processes gradients are averaged for what is computed in `forward`."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Step], dict[str, torch.Tensor]]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, step: Step) -> dict[str, torch.Tensor]:
        return self.loss(self.model, step)


def _batches(args: argparse.Namespace, num_items: int, start: int, accelerator: Accelerator) -> StepSampler:
    return StepSampler(
        num_items=num_items,
        batch_size=args.train_batch_size // accelerator.num_processes,
        start=start,
        stop=args.max_train_steps,
        seed=args.seed,
        rank=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )


def _make_accelerator(args: argparse.Namespace) -> Accelerator:
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
    settings = {"learning_rate": args.learning_rate, "betas": BETAS, "weight_decay": args.adam_weight_decay}
    settings["epsilon"] = EPSILON
    return make_muon(model, settings) if args.optimizer == "muon" else make_optimizer(model.parameters(), **settings)


def _plan(args: argparse.Namespace) -> Plan:
    return Plan(
        steps=args.max_train_steps,
        learning_rate=args.learning_rate,
        warmup=args.lr_warmup_steps,
        schedule=BuiltinSettings.schedules()[args.lr_scheduler],
        logging_steps=args.logging_steps,
        validation_steps=args.validation_steps,
        checkpointing_steps=args.checkpointing_steps,
    )


def _validated(model: nn.Module, validate: Callable[[nn.Module], dict[str, float]]) -> dict[str, float]:
    model.eval()
    with torch.no_grad():
        scores = {f"validation_{name}": value for name, value in validate(model).items()}
    model.train()
    return scores

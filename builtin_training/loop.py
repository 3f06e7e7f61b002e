"""The training loop that the parts share: batches, learning rate, moving average, checkpoints, log.

Networks this small gain nothing from a second thread. On a CPU several processes share out each batch instead:

    OMP_NUM_THREADS=1 torchrun --nproc_per_node 2 -m builtin_training.train_captioner --data_root ... --output_dir ...
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from temu_vtoff.runs.sharing import Share

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Step:
    """One step's place in the run, and its randomness."""

    number: int
    total: int
    items: list[int]
    generator: torch.Generator

    @property
    def progress(self) -> float:
        """From 0 at the first step to 1 at the end."""
        return self.number / self.total


def add_arguments(
    parser: argparse.ArgumentParser, *, steps: int, batch_size: int, learning_rate: float, ema_decay: float = 0.998
) -> None:
    """The flags of every training script, with that script's defaults."""
    add = parser.add_argument
    add("--data_root", type=Path, required=True, help="folder that `python -m drawn_people --layout dresscode` wrote")
    add("--output_dir", type=Path, required=True, help="gets the part, its checkpoint and its log")
    add("--steps", type=int, default=steps, help="length of the whole run; the learning rate falls to zero over it")
    add("--batch_size", type=int, default=batch_size)
    add("--learning_rate", type=float, default=learning_rate, help="its peak, after --warmup_steps")
    add("--warmup_steps", type=int, default=100)
    add("--optimizer", choices=("adamw", "muon"), default="adamw", help="muon turns the matrices inside of blocks")
    add("--weight_decay", type=float, default=0.01)
    add("--ema_decay", type=float, default=ema_decay, help="of the moving average of the weights, which is kept")
    add("--seed", type=int, default=0)
    add("--resume", action="store_true", help="go on from the checkpoint in --output_dir, if there is one")
    add("--log_steps", type=int, default=20)
    add("--checkpoint_steps", type=int, default=250)
    add("--validation_steps", type=int, default=500)
    add("--validation_items", type=int, default=96, help="of the test split, spread over the categories")
    add("--mixed_precision", choices=("no", "bf16"), help="bf16 where the device computes it itself, when absent")
    add("--device", help="cpu, cuda or mps; the best there is when left out")


def initialize(model: nn.Module) -> None:
    """Draws linear and convolution weights anew so that each layer keeps the scale of its input. The usual deviation
    of 0.02 fits layers a thousand wide; in narrow ones it all but cuts the residual branches off, for a long time."""
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
    """Trains in place, with warm-up and cosine, and returns the moving average of the weights.

    Of several processes, started by torchrun, each takes its share of a batch; only the first one returns.

    Args:
        model: Everything that is trained, heads that are not kept included.
        loss: The losses of one step by name, scalars; "loss" is what to minimise. Dropout and the like may draw from
            torch's default generator, which is seeded for each step.
        validate: Numbers to log, of the moving average.
        num_items: How many training items there are; a step has the positions of its own.
        args: As by `add_arguments`.

    Raises:
        FileExistsError: `args.output_dir` holds a checkpoint and `args.resume` is false.
        ValueError: It holds the state of another optimizer.
        FloatingPointError: The loss is not finite.
    """
    import torch

    from temu_vtoff.files import writable_folder
    from temu_vtoff.hardware.devices import choose_device, choose_training_precision
    from temu_vtoff.runs.sharing import Share
    from temu_vtoff.training.optimization import learning_rate_at, make_optimizer, set_learning_rate
    from temu_vtoff.training.step_sampler import StepSampler, step_generator

    with Share.join() as share:
        folder = writable_folder(args.output_dir)
        device = choose_device(args.device)
        bf16 = choose_training_precision(args.mixed_precision, device) == "bf16"
        model = model.to(device)
        average = torch.optim.swa_utils.AveragedModel(
            model, multi_avg_fn=_moving_average(args.ema_decay), use_buffers=False
        )
        optimizer = make_optimizer(
            model.named_parameters(), args.learning_rate, (0.9, 0.99), args.weight_decay, name=args.optimizer
        )
        start, seconds = _load_checkpoint(folder, args, model, average, optimizer)
        if share.is_first:
            _truncate_log(folder / LOG, start)
        began = time.monotonic() - seconds

        batches = StepSampler(num_items, args.batch_size, start, args.steps, args.seed)
        for number, items in enumerate(batches, start):
            items, generator = share.of(items), step_generator(args.seed, number, share.index)
            torch.manual_seed(generator.initial_seed())
            set_learning_rate(optimizer, learning_rate_at(number, args.learning_rate, args.steps, args.warmup_steps))
            model.train()
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                losses = loss(model, Step(number, args.steps, items, generator))
            if not torch.isfinite(losses["loss"]):
                raise FloatingPointError(
                    f"The loss at step {number} is {losses['loss'].item()}; lower --learning_rate."
                )
            _descend(model, losses["loss"], optimizer, share)
            average.update_parameters(model)

            done = number + 1
            if not share.is_first:
                continue
            if done % args.log_steps == 0:
                _log(folder / LOG, done, began, {name: value.item() for name, value in losses.items()})
            if done % args.validation_steps == 0 or done == args.steps:
                _log(folder / LOG, done, began, _validated(average.module, validate))
            if done % args.checkpoint_steps == 0 or done == args.steps:
                _save_checkpoint(folder, done, time.monotonic() - began, model, average, optimizer, args.optimizer)
    if not share.is_first:
        raise SystemExit  # its part is done
    return average.module.eval()


def _descend(model: nn.Module, loss: torch.Tensor, optimizer: torch.optim.Optimizer, share: Share) -> None:
    """One step of the optimizer, down the clipped gradient of all processes together."""
    from torch import nn

    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if share.count > 1:
        _average_gradients(model)
    nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
    optimizer.step()


def _average_gradients(model: nn.Module) -> None:
    """Over the processes; what one of them had no use for counts as zero there."""
    import torch
    from accelerate.utils import reduce

    trained = [p for p in model.parameters() if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    mean = reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduction="mean")
    for parameter, part in zip(trained, mean.split([p.numel() for p in trained]), strict=True):
        parameter.grad = part.view_as(parameter)


def _validated(model: nn.Module, validate: Callable[[nn.Module], dict[str, float]]) -> dict[str, float]:
    import torch

    model.eval()
    with torch.no_grad():
        return {f"validation_{name}": value for name, value in validate(model).items()}


def _moving_average(decay: float) -> Callable:
    """Exponential, but close to the plain mean at first: the initial weights are soon forgotten."""
    import torch

    @torch.no_grad()
    def update(average: list[torch.Tensor], current: list[torch.Tensor], count: torch.Tensor) -> None:
        torch._foreach_lerp_(average, current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return update


def _save_checkpoint(folder: Path, step: int, seconds: float, model, average, optimizer, name: str) -> None:
    import torch

    state = {
        "step": step,
        "seconds": seconds,
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "optimizer_name": name,
    }
    temporary = folder / f".{CHECKPOINT}.tmp"
    torch.save(state, temporary)
    temporary.replace(folder / CHECKPOINT)


def _load_checkpoint(folder: Path, args: argparse.Namespace, model, average, optimizer) -> tuple[int, float]:
    """Steps done and seconds spent so far; zero without a checkpoint."""
    import torch

    from temu_vtoff.training.optimization import require_same_optimizer

    path = folder / CHECKPOINT
    if not path.is_file():
        return 0, 0.0
    if not args.resume:
        raise FileExistsError(
            f"{folder} holds a checkpoint: go on from it with --resume, or name another --output_dir."
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    require_same_optimizer(path, state.get("optimizer_name"), args.optimizer)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["seconds"]


def _log(path: Path, step: int, began: float, numbers: dict[str, float]) -> None:
    row = {"step": step, "minutes": round((time.monotonic() - began) / 60, 2)}
    row |= {name: float(f"{value:.5g}") for name, value in numbers.items()}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _truncate_log(path: Path, step: int) -> None:
    """Drops what was logged after the checkpoint that the run goes on from."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    path.write_text("".join(line for line in lines if json.loads(line)["step"] <= step), encoding="utf-8")

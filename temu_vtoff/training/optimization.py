"""The optimizer, and the moving average of the weights that is what one uses in the end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import nn

from temu_vtoff.training.muon import Muon

OPTIMIZERS = ("adamw", "muon")
SCHEDULES = ("cosine", "linear", "constant", "trapezoid")


def make_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.98),
    weight_decay: float = 0.01,
    epsilon: float = 1e-8,
    name: str = "adamw",
    use_8bit: bool = False,
) -> torch.optim.Optimizer:
    """The optimizer of the parameters that require gradients.

    Args:
        named_parameters: As of `nn.Module.named_parameters`.
        name: One of `OPTIMIZERS`; see `Muon` on the second.
        use_8bit: AdamW's moments in 8 bits.

    Raises:
        ValueError: bitsandbytes is not installed, or Muon is wanted in 8 bits.
    """
    trained = [(key, parameter) for key, parameter in named_parameters if parameter.requires_grad]
    settings = {"lr": learning_rate, "betas": betas, "weight_decay": weight_decay, "eps": epsilon}
    if name == "muon":
        if use_8bit:
            raise ValueError("--use_8bit_adam is for --optimizer adamw: Muon has no moments to store in 8 bits.")
        return Muon(trained, **settings)
    parameters = [parameter for _, parameter in trained]
    if not use_8bit:
        return torch.optim.AdamW(parameters, fused=True, **settings)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise ValueError("--use_8bit_adam needs bitsandbytes: pip install bitsandbytes.") from error
    return AdamW8bit(parameters, **settings)


def require_same_optimizer(checkpoint: Path, its: str | None, wanted: str) -> None:
    """Checks that a checkpoint can be resumed: the state of one optimizer means nothing to another.

    Args:
        its: The name in the checkpoint; those of earlier versions have none.

    Raises:
        ValueError: It holds the state of another optimizer than the one that is wanted.
    """
    if its not in (None, wanted):
        raise ValueError(
            f"{checkpoint} holds the state of --optimizer {its}: go on with that, or begin a run in another "
            "--output_dir from the weights in this one."
        )


def learning_rate_at(step: int, peak: float, steps: int, warmup: int = 0, schedule: str = "cosine") -> float:
    """The learning rate of a step, counted from 0: a linear rise over `warmup` steps, then the schedule's way to 0.

    Args:
        schedule: One of `SCHEDULES`; "constant" stays at the peak, "trapezoid" does so for three quarters and falls
            linearly in the last.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    part = {
        "cosine": (1 + math.cos(math.pi * done)) / 2,
        "linear": 1 - done,
        "constant": 1.0,
        "trapezoid": min(1.0, 4 * (1 - done)),
    }
    return peak * part[schedule]


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """For the optimizer's next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class WeightAverage:
    """An exponential moving average of parameters (diffusers' `EMAModel`); a decay of 0 turns it off.

    Its first steps average over fewer: the decay of step k is at most (1 + k) / (10 + k).
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"The decay of averaged weights is {decay}; give one from 0 (off) to below 1.")
        self.parameters = list(parameters)
        self.average = EMAModel(self.parameters, decay=decay, foreach=True) if decay > 0 else None
        if self.average is not None:
            self.average.to(self.parameters[0].device)

    def step(self) -> None:
        """Takes the parameters' present values in."""
        if self.average is not None:
            self.average.step(self.parameters)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the parameters hold the average."""
        if self.average is None:
            yield
            return
        self.average.store(self.parameters)
        self.average.copy_to(self.parameters)
        try:
            yield
        finally:
            self.average.restore(self.parameters)

    def state_dict(self) -> dict[str, Any]:
        """For accelerate's checkpoints."""
        return self.average.state_dict() if self.average is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        if self.average is not None:
            self.average.load_state_dict(state)
            self.average.to(self.parameters[0].device)

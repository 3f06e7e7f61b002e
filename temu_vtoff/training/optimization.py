"""The optimizer, its learning rate, and the moving average of the weights, which is what a run exports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import nn

from temu_vtoff.errors import ArgumentError
from temu_vtoff.training.settings import SCHEDULES


def make_optimizer(
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.98),
    weight_decay: float = 0.01,
    epsilon: float = 1e-8,
    use_8bit: bool = False,
) -> torch.optim.Optimizer:
    """AdamW over the parameters that require gradients.

    Args:
        use_8bit: Whether to keep the moments in 8 bits.

    Raises:
        ArgumentError: bitsandbytes is not installed.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    settings = {"lr": learning_rate, "betas": betas, "weight_decay": weight_decay, "eps": epsilon}
    if not use_8bit:
        return torch.optim.AdamW(trained, fused=True, **settings)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise ArgumentError(
            "{use_8bit_adam} needs the package bitsandbytes: pip install bitsandbytes.", "use_8bit_adam"
        ) from error
    return AdamW8bit(trained, **settings)


def learning_rate_at(
    step: int, peak: float, steps: int, warmup: int = 0, schedule: Callable[[float], float] = SCHEDULES["cosine"]
) -> float:
    """The learning rate of a step, counted from 0: a linear rise over `warmup` steps, then the schedule.

    Args:
        schedule: Maps the share of steps done since the warm-up to a factor of the peak rate; see `SCHEDULES`.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * schedule((step - warmup) / max(steps - warmup, 1))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the rate of the optimizer's next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class EMA:
    """An exponential moving average of parameters (diffusers' `EMAModel`); a decay of 0 turns it off.

    The first steps average over few: the decay of step k is at most (1 + k) / (10 + k).

    Raises:
        ArgumentError: The decay is out of range.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        if not 0 <= decay < 1:
            raise ArgumentError(f"{{ema_decay}} is {decay}; give a number from 0 (off) to below 1.", "ema_decay")
        self.parameters = list(parameters)
        self.average = EMAModel(self.parameters, decay=decay, foreach=True) if decay > 0 else None
        if self.average is not None:
            self.average.to(self.parameters[0].device)

    def step(self) -> None:
        """Updates the average with the parameters' current values."""
        if self.average is not None:
            self.average.step(self.parameters)

    def copy_to_parameters(self) -> None:
        """Replaces the parameters by their average, for good."""
        if self.average is not None:
            self.average.copy_to(self.parameters)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the context the parameters hold the average."""
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

"""How a sampling trades quality for time: number of steps, solver, guidance's window, first-block caching.

All solvers integrate the flow's velocity, dx = v dt; the values were chosen by what they cost on people drawn for the
purpose, measured against the true pictures (docs/performance.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import FlowMatchEulerDiscreteScheduler, SchedulerMixin


@dataclass(frozen=True)
class Preset:
    """
    Attributes:
        steps: Of the solver.
        multistep: UniPC of second order instead of Euler's steps.
        guidance_window: The steps with guidance, as shares of all: from the first to before the second. The others run
            the caption's branch alone, at half the work.
        cache_threshold: Of `FirstBlockCache`; 0 computes every block of every step.
        fp8: Whether a GPU that has it multiplies in 8-bit floating point.
    """

    steps: int = 28
    multistep: bool = False
    guidance_window: tuple[float, float] = (0.0, 1.0)
    cache_threshold: float = 0.0
    fp8: bool = False

    def is_guided(self, step: int, steps: int) -> bool:
        """Whether guidance acts in one of the steps."""
        first, end = (round(share * steps) for share in self.guidance_window)
        return first <= step < end

    def scheduler(self, euler: FlowMatchEulerDiscreteScheduler) -> SchedulerMixin:
        """The solver, for the noise levels of the model's own scheduler."""
        if not self.multistep:
            return euler
        from diffusers import UniPCMultistepScheduler

        return UniPCMultistepScheduler.from_config(
            euler.config, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=euler.config.shift
        )


PRESETS = {
    "exact": Preset(),
    "fast": Preset(steps=9, multistep=True),
    "turbo": Preset(steps=7, multistep=True, cache_threshold=0.2, fp8=True),
}


def choose_preset(name: str | Preset) -> Preset:
    """A preset by name, or one of the caller's own as it is.

    Raises:
        ValueError: There is none of that name.
    """
    if isinstance(name, Preset):
        return name
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]

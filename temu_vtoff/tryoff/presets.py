"""Speed/quality trade-offs of the sampling: the solver and its number of steps.

All solvers integrate the flow's velocity, dx = v dt. The values were chosen by their quality on drawn people, measured
against the true pictures (docs/performance.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

from temu_vtoff.errors import ArgumentError, check_choice, check_finite, check_kind, check_least

if TYPE_CHECKING:
    from diffusers import FlowMatchEulerDiscreteScheduler, SchedulerMixin

SOLVERS = ("euler", "unipc")
GUIDANCE_SCALE = 2.0  # of the published model, try-off and try-on
MOST_STEPS = 1000  # noise levels that the models are trained on


@dataclass(frozen=True)
class Preset:
    """
    Attributes:
        steps: Evaluations of the velocity.
        solver: "euler", the model's own scheduler; or "unipc", UniPC (arXiv 2302.04867) of second order.
        fp8: Multiply in 8-bit floating point on GPUs that support it. This takes effect when the pipeline is prepared
            (`temu_vtoff.hardware.acceleration.speed_up`), not in a call.
    """

    steps: int = 28
    solver: str = "euler"
    fp8: bool = False

    def __post_init__(self) -> None:
        check_choice("solver", self.solver, SOLVERS)

    def scheduler(self, own: FlowMatchEulerDiscreteScheduler) -> SchedulerMixin:
        """The solver, for the noise levels of the model's own scheduler.

        Raises:
            ValueError: The model's scheduler is not one for flow matching.
        """
        from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

        if not isinstance(own, FlowMatchEulerDiscreteScheduler) and not own.config.get("use_flow_sigmas", False):
            raise ValueError(
                f"The scheduler is a {type(own).__name__}, which does not fit a flow model; give a "
                "FlowMatchEulerDiscreteScheduler, or another solver with use_flow_sigmas=True."
            )
        if self.solver == "euler":
            return own
        shift = own.config.get("shift", own.config.get("flow_shift"))
        return UniPCMultistepScheduler.from_config(
            own.config, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, solver_order=2
        )


PRESETS = {
    "exact": Preset(),
    "fast": Preset(steps=9, solver="unipc"),
    "turbo": Preset(steps=6, solver="unipc", fp8=True),
}


def check_sampling(steps: int | None, guidance_scale: float | None) -> None:
    """Checks the numbers of a sampling; None stands for a default.

    Raises:
        ArgumentError: A value out of range.
    """
    check_kind("num_inference_steps", steps, Integral, "a whole number")
    check_least("num_inference_steps", steps)
    if steps is not None and steps > MOST_STEPS:
        raise ArgumentError(f"{{num_inference_steps}} is {steps}; give {MOST_STEPS} at most.", "num_inference_steps")
    check_finite("guidance_scale", guidance_scale)


def choose_preset(name: str | Preset) -> Preset:
    """A preset by name; a `Preset` is returned as it is.

    Raises:
        ArgumentError: The name is unknown.
    """
    if isinstance(name, Preset):
        return name
    check_choice("preset", name, PRESETS)
    return PRESETS[name]

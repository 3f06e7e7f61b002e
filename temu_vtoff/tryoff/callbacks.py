"""Callbacks at the end of a step in diffusers' form: callback(pipeline, step, timestep, tensors) -> changed tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback

from temu_vtoff.errors import check_kind
from temu_vtoff.tryoff.denoising import Step

StepCallback = Callable[[Any, int, torch.Tensor, dict[str, Any]], Mapping[str, Any] | None]
TENSORS: dict[str, Callable[[Step], torch.Tensor]] = {  # what a callback may ask for
    "latents": lambda step: step.latents,
    "prompt_embeds": lambda step: step.conditions.inputs["encoder_hidden_states"],
    "pooled_prompt_embeds": lambda step: step.conditions.pooled_embeds,
    "pred_original_sample": lambda step: step.clean,
}
_CHANGEABLE = ("prompt_embeds", "pooled_prompt_embeds")


@dataclass(frozen=True)
class StepReporter:
    """Passes each step to the callback, and the callback's changes to the next step.

    Attributes:
        names: Keys of `TENSORS` that the callback is given.
    """

    pipe: DiffusionPipeline
    callback: StepCallback | None
    names: Sequence[str]

    @classmethod
    def of(cls, pipe: DiffusionPipeline, callback: StepCallback | None, names: Sequence[str] | None) -> StepReporter:
        """The callback is given what it asks for itself, what is named, or all that the pipeline offers.

        Raises:
            ValueError: A name that the pipeline doesn't offer.
        """
        check_kind("callback_on_step_end", callback, Callable, "a function")
        offered = pipe._callback_tensor_inputs
        if isinstance(callback, (PipelineCallback, MultiPipelineCallbacks)):
            names = callback.tensor_inputs
        names = offered if names is None else names
        check_kind("callback_on_step_end_tensor_inputs", names, (list, tuple), f"a list of {', '.join(offered)}")
        if unknown := [name for name in names if name not in offered]:
            raise ValueError(
                f"callback_on_step_end_tensor_inputs names {', '.join(unknown)}; there are {', '.join(offered)}."
            )
        return cls(pipe, callback, names)

    def __call__(self, step: Step) -> None:
        if self.callback is not None:
            tensors = {name: TENSORS[name](step) for name in self.names}
            tensors |= self.callback(self.pipe, step.number, step.timestep, dict(tensors)) or {}
            self._take_over(step, tensors)
        step.stop = self.pipe._interrupt

    def _take_over(self, step: Step, tensors: Mapping[str, torch.Tensor]) -> None:
        step.latents = tensors.get("latents", step.latents)
        # diffusers' SD3CFGCutoffCallback keeps the last row, whatever the batch; here rows without guidance are chosen
        # by the loop.
        changed = {name: x for name, x in tensors.items() if name in _CHANGEABLE and len(x) >= len(step.latents)}
        conditions = replace(step.conditions, guidance_scale=self.pipe.guidance_scale)
        if "pooled_prompt_embeds" in changed:
            conditions = replace(conditions, pooled_embeds=changed["pooled_prompt_embeds"])
        if "prompt_embeds" in changed:
            inputs = {**conditions.inputs, "encoder_hidden_states": changed["prompt_embeds"]}
            conditions = replace(conditions, inputs=inputs)
        step.conditions = conditions

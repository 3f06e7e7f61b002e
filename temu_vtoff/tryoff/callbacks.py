"""Callbacks at the end of a step in diffusers' form: callback(pipeline, step, timestep, tensors) -> changed tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from temu_vtoff.tryoff.denoising import Step

if TYPE_CHECKING:
    from tqdm import tqdm

    from temu_vtoff.tryoff.pipeline import TryOffPipeline

StepCallback = Callable[[Any, int, torch.Tensor, dict[str, Any]], Mapping[str, Any] | None]
TENSORS: dict[str, Callable[[Step], torch.Tensor]] = {  # what a callback may ask for
    "latents": lambda step: step.latents,
    "prompt_embeds": lambda step: step.conditions.prompt_embeds,
    "pooled_prompt_embeds": lambda step: step.conditions.pooled_prompt_embeds,
    "pred_original_sample": lambda step: step.clean,
}


@dataclass(frozen=True)
class StepReporter:
    """Passes each step to the progress bar and the callback, and the callback's wishes to the next step.

    Attributes:
        names: Keys of `TENSORS` that the callback is given.
    """

    pipe: TryOffPipeline
    progress: tqdm
    callback: StepCallback | None
    names: Sequence[str]

    def __call__(self, step: Step) -> None:
        if self.callback is not None:
            tensors = {name: TENSORS[name](step) for name in self.names}
            tensors |= self.callback(self.pipe, step.number, step.timestep, dict(tensors)) or {}
            self._take_over(step, tensors)
        self.progress.update()
        step.stop = self.pipe._interrupt

    def _take_over(self, step: Step, tensors: Mapping[str, torch.Tensor]) -> None:
        step.latents = tensors.get("latents", step.latents)
        changes = {
            name: tensors[name]
            for name in ("prompt_embeds", "pooled_prompt_embeds")
            # diffusers' SD3CFGCutoffCallback keeps the last row, whatever the batch; here rows without guidance are
            # chosen by the loop.
            if name in tensors and len(tensors[name]) >= len(step.latents)
        }
        step.conditions = replace(step.conditions, guidance_scale=self.pipe.guidance_scale, **changes)

"""Watching a picture emerge, for pages and nodes: steps and previews, from the callback of a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL import Image

from temu_vtoff.tryoff.conditioning import decode_latents

PREVIEWS = 8  # of a picture
OnStep = Callable[[int, int, Image.Image | None], bool]


def watcher(on_step: OnStep, steps: int | None = None, previews: bool = True) -> Callable[..., dict[str, Any]]:
    """A pipeline's callback: passes steps and previews of the clean picture on, and ends the loop when asked to.

    Args:
        on_step: Called with the steps done, the steps there are and, now and then, how the first picture looks by then;
            when it answers False the work ends early, with pictures of no use.
        steps: How many there are. Left open, what the pipeline says.
        previews: Whether to decode them; only TEMU-VTOFF's pipelines have any.
    """

    def watch(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        count = pipe.num_timesteps if steps is None else steps
        preview = None
        if previews and (step + 1) % max(1, count // PREVIEWS) == 0:
            clean = decode_latents(pipe.vae, tensors["pred_original_sample"][:1])
            preview = pipe.image_processor.postprocess(clean, output_type="pil")[0]
        if not on_step(step + 1, count, preview):
            pipe._interrupt = True
        return {}

    return watch

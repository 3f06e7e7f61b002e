"""ComfyUI's progress bar, previews and stop button, from the steps of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import comfy.model_management as model_management
import comfy.utils
from PIL import Image

if TYPE_CHECKING:
    from temu_vtoff.stages.toolkit import Toolkit

    from .models import Models

LONGEST_PREVIEW = 512  # pixels


def watched(
    models: Models, toolkit: Toolkit, generate: Callable[..., Iterator[Any]], *, items: int, pictures: int
) -> list[Any]:
    """What `generate` makes, one item after the other, with a progress bar, previews and the stop button.

    Args:
        toolkit: Its pipeline is loaded, unless there are no items.
        generate: Called with the pipeline's `callback_on_step_end`.
        items: Number of calls of the pipeline.
        pictures: Number of pictures of all items.

    Raises:
        InterruptProcessingException: The user has stopped it.
    """
    results = []
    with models.at_work(toolkit, "pipeline"):
        if items:
            toolkit.pipeline(pictures)
        for result in generate(callback_on_step_end=_callback(toolkit, items, models.has_previews)):
            stop_if_asked()
            results.append(result)
    return results


def _callback(toolkit: Toolkit, items: int, previews: bool) -> Callable[..., dict[str, Any]]:
    """The callback of a pipeline; arguments as for `watched`."""
    from temu_vtoff.tryoff.watching import watcher  # imports diffusers, which takes seconds

    bar = comfy.utils.ProgressBar(items)
    done = 0

    def on_step(step: int, steps: int, preview: Image.Image | None) -> bool:
        nonlocal done
        done += 1
        shown = None if preview is None else ("JPEG", preview, LONGEST_PREVIEW)
        bar.update_absolute(done, max(items * steps, done), shown)
        return not model_management.processing_interrupted()

    # Where models are moved to and from a GPU's memory, each preview would move two of them.
    return watcher(on_step, previews=previews and toolkit.taken.get("offload") == "none")


def stop_if_asked() -> None:
    """
    Raises:
        InterruptProcessingException: The user has pressed stop; ComfyUI knows what that means.
    """
    model_management.throw_exception_if_processing_interrupted()

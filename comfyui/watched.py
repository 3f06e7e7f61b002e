"""ComfyUI's progress bar, previews and stop button, from the steps of a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import comfy.model_management as model_management
import comfy.utils
from PIL import Image

if TYPE_CHECKING:
    from temu_vtoff.stages.toolkit import Toolkit

LONGEST_PREVIEW = 512  # pixels


def watch(toolkit: Toolkit, items: int, previews: bool) -> Callable[..., dict[str, Any]]:
    """The callback of a pipeline that makes the pictures of some items, one after the other.

    Args:
        toolkit: Its pipeline is loaded.
        items: Number of calls of the pipeline.
        previews: Whether the pipeline has any.
    """
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

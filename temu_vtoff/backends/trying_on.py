"""An image-editing model that looks at two pictures, called as `TryOnPipeline` is: a person and a garment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import ImagePipelineOutput
from PIL import Image

from temu_vtoff.backends.editing import EditingModel
from temu_vtoff.backends.prompt import tryon_prompt
from temu_vtoff.pictures import fit_picture


class EditingTryOn:
    """Puts garments on persons. The region is not shown to the model; it counts when the result is pasted back."""

    pose_guider = None  # no poses

    def __init__(self, editor: EditingModel) -> None:
        self.editor = editor
        self.set_progress_bar_config = editor.set_progress_bar_config

    def __call__(
        self,
        garments: Sequence[Image.Image],
        persons: Sequence[Image.Image],
        regions: Sequence[Image.Image],
        *,
        width: int,
        height: int,
        generator: Sequence[torch.Generator],
        num_images_per_prompt: int = 1,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        pose: None = None,
        preset: str = "exact",
    ) -> ImagePipelineOutput:
        """Pictures of width x height for each pair, `num_images_per_prompt` of each, one after the other.

        Args:
            regions: Not used, as `pose` and `preset`, which are those of `TryOnPipeline`.
            generator: One for each picture.
        """
        rngs = iter(generator)
        images = []
        for garment, person in zip(garments, persons, strict=True):
            pictures = [fit_picture(picture, width, height) for picture in (person, garment)]
            images += [
                self.editor.edit(
                    pictures,
                    tryon_prompt(self.editor.template),
                    (width, height),
                    next(rngs),
                    steps=num_inference_steps,
                    guidance=guidance_scale,
                    callback_on_step_end=callback_on_step_end,
                )
                for _ in range(num_images_per_prompt)
            ]
        return ImagePipelineOutput(images=images)

"""One interface to the image-editing models: photo, mask, caption, category, size and seed in, product picture out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from temu_vtoff.backends.focus import focus_box
from temu_vtoff.backends.prompt import product_prompt
from temu_vtoff.backends.registry import EDITORS, Backend
from temu_vtoff.pictures import fit_picture


class EditingModel:
    """An image-editing pipeline that makes product pictures.

    Args:
        pipe: A pipeline of the back end's class, on its device.
        backend: Name in `EDITORS`.
        template: Replaces the prompt's template.
        focus: Show the model the part of the photo around the garment, instead of the whole photo.
    """

    def __init__(self, pipe: DiffusionPipeline, backend: str, template: str | None = None, focus: bool = False) -> None:
        self.pipe, self.backend, self.template, self.focus = pipe, EDITORS[backend], template, focus
        self.set_progress_bar_config = pipe.set_progress_bar_config

    def __call__(
        self,
        photo: Image.Image,
        mask: Image.Image,
        caption: str,
        category: str,
        size: tuple[int, int],
        seed: int,
        **sampling: Any,
    ) -> Image.Image:
        """The product picture of a garment.

        Args:
            photo: RGB, of any size.
            mask: L, 255 on the garment, of the photo's size.
            caption: One line on the garment's shape; may be empty.
            category: Category of the garment.
            size: Width and height of the result.
            seed: Random seed.
            sampling: Arguments of `edit`: steps, guidance, callback_on_step_end.

        Raises:
            ValueError: An empty mask, with `focus`.
        """
        seen = photo.crop(focus_box(mask, size)) if self.focus else photo
        prompt = product_prompt(category, caption, self.template)
        return self.edit([fit_picture(seen, *size)], prompt, size, torch.Generator().manual_seed(seed), **sampling)

    def edit(
        self,
        pictures: list[Image.Image],
        prompt: str,
        size: tuple[int, int],
        generator: torch.Generator,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
    ) -> Image.Image:
        """What the model makes of pictures and a prompt.

        Args:
            pictures: RGB; as many as the back end takes.
            steps: By default the back end's own, or that of distilled weights.
            guidance: By default the back end's own; 1 or less turns it off.
        """
        own_steps, own_guidance = self.own_sampling()
        guidance = own_guidance if guidance is None else guidance
        width, height = size
        return self.pipe(
            image=pictures if len(pictures) > 1 else pictures[0],
            prompt=prompt,
            width=width,
            height=height,
            num_inference_steps=own_steps if steps is None else steps,
            generator=generator,
            callback_on_step_end=callback_on_step_end,
            **_guidance_arguments(self.backend, guidance),
            **({"max_area": width * height} if self.backend.pipeline == "FluxKontextPipeline" else {}),
        ).images[0]

    def own_sampling(self) -> tuple[int, float]:
        """Steps and guidance that these weights were made for."""
        if self.backend.distilled is not None and self.pipe.config.get("is_distilled"):
            return self.backend.distilled
        return self.backend.steps, self.backend.guidance


def _guidance_arguments(backend: Backend, guidance: float) -> dict[str, Any]:
    """The guidance as the pipeline takes it: Qwen's needs a negative prompt, without which it has no guidance."""
    if backend.pipeline != "QwenImageEditPlusPipeline":
        return {"guidance_scale": guidance}
    return {"true_cfg_scale": guidance, "negative_prompt": " " if guidance > 1 else None}

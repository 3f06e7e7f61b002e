"""A batch of garments through an image-editing model, which makes one picture at a time."""

from __future__ import annotations

from typing import Any

from PIL import Image

from temu_vtoff.backends.editing import EditingModel
from temu_vtoff.pictures import open_picture, unfit_picture
from temu_vtoff.stages.garment import Garment


def edit_each(
    editor: EditingModel,
    read: list[tuple[Garment, tuple[Image.Image, Image.Image]]],
    seeds: range,
    sampling: dict[str, Any],
) -> list[Image.Image]:
    """The pictures of a batch, garment by garment, one for each seed.

    Args:
        read: Garments, each with photo and mask at the size of the pictures.
        sampling: Arguments of `TryOffPipeline.__call__`; those of its presets are left out.
    """
    size = (sampling["width"], sampling["height"])
    images = []
    for garment, (photo, mask) in read:
        if editor.focus:
            photo, mask = _in_full(garment, photo, mask)
        for seed in seeds:
            images.append(
                editor(
                    photo,
                    mask,
                    caption=garment.caption or "",
                    category=garment.category,
                    size=size,
                    seed=seed,
                    steps=sampling["num_inference_steps"],
                    guidance=sampling["guidance_scale"],
                    callback_on_step_end=sampling["callback_on_step_end"],
                )
            )
    return images


def _in_full(garment: Garment, photo: Image.Image, mask: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Photo and mask at the photo's own size, where it has more pixels than the padded one."""
    original = open_picture(garment.photo)
    if original.width * original.height <= photo.width * photo.height:
        return photo, mask
    return original, unfit_picture(mask, original.size, Image.Resampling.NEAREST)

"""A batch of garments through the try-off model, a pipeline or an image-editing model: product pictures by seeds, and
further tries of poor ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from temu_vtoff.backends.editing import EditingModel
from temu_vtoff.pictures import open_picture, unfit_picture
from temu_vtoff.segmentation.masks import masked_image
from temu_vtoff.stages.garment import Garment, Product
from temu_vtoff.stages.selecting import is_content, joined, judged, kept
from temu_vtoff.stages.selection import Selection
from temu_vtoff.tryoff.pipeline import TryOffPipeline

Read = Sequence[tuple[Garment, tuple[Image.Image, Image.Image]]]  # garments, each with photo and mask as the model sees


def best_products(
    pipe: TryOffPipeline | EditingModel,
    read: Read,
    *,
    first_seeds: Mapping[Garment, int],
    tries: Iterable[range],
    sampling: dict[str, Any],
    selection: Selection,
    captioner: Callable[..., list[str]] | None = None,
) -> list[Product]:
    """The products of a batch with the pictures that are kept.

    Args:
        first_seeds: The seed of each garment's first picture.
        tries: The pictures of each try, counted from 0: picture n has the first seed plus n. Garments that are content
            with one try take no part in the next.
        sampling: Arguments of `TryOffPipeline.__call__`, see `sampling_of`.
        captioner: Argument of `judged`.
    """
    products: dict[Garment, Product] = {}
    for numbers in tries:
        seeds = [[first_seeds[garment] + number for number in numbers] for garment, _ in read]
        for product in make_products(pipe, read, seeds, sampling):
            joint = joined(products.get(product.garment), product)
            products[product.garment] = judged(joint, pipe, captioner) if selection.score else joint
        read = [pair for pair in read if not is_content(products[pair[0]], selection)]
        if not read:
            break
    return [kept(product, selection) for product in products.values()]


def make_products(
    pipe: TryOffPipeline | EditingModel, read: Read, seeds: Sequence[Sequence[int]], sampling: dict[str, Any]
) -> list[Product]:
    """The products of a batch, with one picture of each garment for each of its seeds; all have equally many."""
    make = _edit_each if isinstance(pipe, EditingModel) else _denoise
    started = time.perf_counter()
    images = make(pipe, read, seeds, sampling)
    seconds = round((time.perf_counter() - started) / len(read), 3)
    remaining = iter(images)
    return [
        Product(garment, [next(remaining) for _ in own], seeds=list(own), photo=photo, mask=mask, seconds=seconds)
        for (garment, (photo, mask)), own in zip(read, seeds, strict=True)
    ]


def _denoise(
    pipe: TryOffPipeline, read: Read, seeds: Sequence[Sequence[int]], sampling: dict[str, Any]
) -> list[Image.Image]:
    """The pictures of a batch, garment by garment, one for each seed."""
    photos, masks = ([pair[part] for _, pair in read] for part in (0, 1))
    return pipe(
        photos,
        mask=[np.asarray(mask) for mask in masks],  # pictures would be examined, and warned about, again
        masked_image=[masked_image(photo, mask) for photo, mask in zip(photos, masks, strict=True)],
        prompt=[garment.caption or "" for garment, _ in read],
        num_images_per_prompt=len(seeds[0]),
        generator=[torch.Generator().manual_seed(seed) for own in seeds for seed in own],
        **sampling,
    ).images


def _edit_each(
    editor: EditingModel, read: Read, seeds: Sequence[Sequence[int]], sampling: dict[str, Any]
) -> list[Image.Image]:
    """The same by an image-editing model, which makes one picture at a time and knows no presets."""
    size = (sampling["width"], sampling["height"])
    images = []
    for (garment, (photo, mask)), own in zip(read, seeds, strict=True):
        if editor.focus:
            photo, mask = _in_full(garment, photo, mask)
        for seed in own:
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

"""Segment Garment, Caption Garment, Try Off: the three stages, each for a batch of photos.

A photo that fails does not stop the others: its mask is black and its caption empty, "notes" says why, and Try Off
leaves it out. When all of them fail, the node does.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io
from PIL import Image

from temu_vtoff.errors import ArgumentError
from temu_vtoff.pictures.masks import unfit_mask
from temu_vtoff.segmentation.categories import TRYOFF_CATEGORIES

from . import inputs
from .failing import NodeError, check_all, numbered, one_sentence
from .models import Models
from .tensors import to_batch, to_masks, to_pictures
from .watched import stop_if_asked, watched

if TYPE_CHECKING:
    from temu_vtoff.stages.garment import Garment, Product

PHOTO = "photo"  # what the notes call an item
MOST_IMAGES = 64


class SegmentGarment(io.ComfyNode):
    """The garment's mask."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentGarment",
            display_name="Segment Garment",
            category=inputs.CATEGORY,
            description="Finds a garment in each photo. A photo without it gets a black mask, and the notes say why.",
            inputs=[
                inputs.models(),
                io.Image.Input("image", tooltip="photos of dressed people"),
                inputs.category(TRYOFF_CATEGORIES),
            ],
            outputs=[
                io.Mask.Output("mask", display_name="mask", tooltip="1 on the garment, of the photo's size"),
                io.String.Output("notes", display_name="notes", tooltip="what to know about the photos"),
            ],
        )

    @classmethod
    def execute(cls, models: Models, image: torch.Tensor, category: str) -> io.NodeOutput:
        with one_sentence():
            photos = to_pictures(image)
            garments = segmented(models, photos, category)
            masks, notes = [], check_all([garment.error for garment in garments], PHOTO)
            for garment, photo in zip(garments, photos, strict=True):
                found = garment.error is None
                masks.append(unfit_mask(garment.mask, photo.size) if found else Image.new("L", photo.size))
            notes += numbered([garment.note for garment in garments], PHOTO)
            notes += [line for garment in garments for line in garment.warnings]
        return io.NodeOutput(to_batch(masks), "\n".join(notes))


class CaptionGarment(io.ComfyNode):
    """The garment's shape in words."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CaptionGarment",
            display_name="Caption Garment",
            category=inputs.CATEGORY,
            description="Describes the shape of each photo's garment: one line for each photo.",
            inputs=[
                inputs.models(),
                io.Image.Input("image", tooltip="photos of dressed people"),
                inputs.category(TRYOFF_CATEGORIES),
            ],
            outputs=[io.String.Output("caption", display_name="caption", tooltip="one line for each photo")],
        )

    @classmethod
    def execute(cls, models: Models, image: torch.Tensor, category: str) -> io.NodeOutput:
        with one_sentence():
            garments = garments_of(to_pictures(image), category)
            captioned(models, garments)
            check_all([garment.error for garment in garments], PHOTO)
        return io.NodeOutput("\n".join(garment.caption or "" for garment in garments))


class TryOffNode(io.ComfyNode):
    """The product pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TryOffGarment",
            display_name="Try Off",
            category=inputs.CATEGORY,
            description="The product picture of each photo's garment. Without a mask it segments, without a caption it "
            "captions. Photos that fail are left out, and the notes say why.",
            inputs=[
                inputs.models(),
                io.Image.Input("image", tooltip="photos of dressed people"),
                inputs.category(TRYOFF_CATEGORIES),
                *inputs.sampling(),
                io.Int.Input(
                    "num_images",
                    default=1,
                    min=1,
                    max=MOST_IMAGES,
                    tooltip="pictures of each garment, with seeds in a row",
                ),
                io.Mask.Input("mask", optional=True, tooltip="1 on the garment; from Segment Garment, or painted"),
                io.String.Input(
                    "caption",
                    optional=True,
                    force_input=True,
                    tooltip="one line for each photo, or one for all of them",
                ),
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="product pictures"),
                io.String.Output("notes", display_name="notes", tooltip="quality of the pictures, and what failed"),
            ],
        )

    @classmethod
    def execute(
        cls,
        models: Models,
        image: torch.Tensor,
        category: str,
        seed: int,
        steps: int,
        guidance: float,
        num_images: int,
        mask: torch.Tensor | None = None,
        caption: str | None = None,
    ) -> io.NodeOutput:
        with one_sentence():
            photos = to_pictures(image)
            if mask is None:
                garments = segmented(models, photos, category)
            else:
                garments = masked(photos, to_masks(mask, photos), category)
            if caption is None:
                captioned(models, garments)
            else:
                for garment, line in zip(garments, lines_of(caption, len(garments)), strict=True):
                    garment.caption = line
            sampling = inputs.sampling_arguments(seed, steps, guidance) | {"num_images": num_images}
            products = taken_off(models, garments, sampling)
            notes = check_all([product.error for product in products], PHOTO)
            notes += [line for product in products for line in product.garment.warnings]
            notes += numbered([p.quality[0].sentence if p.quality else None for p in products], PHOTO)
            notes += [] if models.note is None else [models.note]
            pictures = to_batch([picture for product in products for picture in product.images])
        return io.NodeOutput(pictures, "\n".join(notes))


def segmented(models: Models, photos: list[Image.Image], category: str) -> list[Garment]:
    """The garments of a category, one for each photo, with a mask or an error."""
    toolkit = models.try_off()
    with models.at_work(toolkit, "segmenter"):
        garments = toolkit.segment(photos, category)
    stop_if_asked()
    return garments


def captioned(models: Models, garments: list[Garment]) -> None:
    """Fills in the captions that are missing."""
    toolkit = models.try_off()
    with models.at_work(toolkit, "captioner"):
        toolkit.caption(garments)
    stop_if_asked()


def taken_off(models: Models, garments: list[Garment], sampling: dict[str, Any]) -> list[Product]:
    """The product pictures, one product for each garment.

    Args:
        sampling: Arguments of `TryOff.generate`, with `num_images`.

    Raises:
        InterruptProcessingException: The user has stopped it.
    """
    toolkit = models.try_off()
    sound = sum(garment.error is None for garment in garments)
    generate = partial(toolkit.generate, garments, **sampling)
    return watched(models, toolkit, generate, items=sound, pictures=sound * sampling["num_images"])


def garments_of(photos: list[Image.Image], category: str) -> list[Garment]:
    """A garment for each photo, without a mask."""
    from temu_vtoff.stages.garment import Garment

    return [Garment(photo, category, name=f"{PHOTO}_{number}") for number, photo in enumerate(photos, 1)]


def masked(photos: list[Image.Image], masks: list[Image.Image], category: str) -> list[Garment]:
    """Garments with masks; one whose mask is black has an error."""
    garments = garments_of(photos, category)
    for garment, mask in zip(garments, masks, strict=True):
        if mask.getbbox() is None:
            garment.error = ArgumentError("{mask} is black all over: the garment must be white in it.", "mask")
        garment.mask = mask
    return garments


def lines_of(caption: str, count: int) -> list[str]:
    """A caption for each of `count` photos.

    Raises:
        NodeError: There is another number of lines.
    """
    lines = [line.strip() for line in caption.split("\n")]
    if len(lines) == 1:
        return lines * count
    if len(lines) != count:
        raise NodeError(f"caption has {len(lines)} lines for {count} photos: give one line, or one for each photo.")
    return lines

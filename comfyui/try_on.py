"""Try On: a person in another garment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from comfy_api.latest import io
from PIL import Image

from temu_vtoff.segmentation.categories import DATASET_CATEGORIES

from . import inputs
from .failing import NodeError, check_all, one_sentence
from .models import Models
from .tensors import to_batch, to_masks, to_pictures
from .watched import stop_if_asked, watched

if TYPE_CHECKING:
    from temu_vtoff.stages.fitting_room import GarmentPicture, Person, TryOnResult

PAIR = "pair"  # what the notes call an item


class TryOnNode(io.ComfyNode):
    """The persons in the garments."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TryOnGarment",
            display_name="Try On",
            category=inputs.CATEGORY,
            description="Puts garments on persons: the first on the first and so on, or one on all. Pairs that "
            "fail are left out, and the notes say why.",
            inputs=[
                inputs.models(),
                io.Image.Input("person", tooltip="photos of persons"),
                io.Image.Input("garment", tooltip="product pictures, for example from Try Off"),
                inputs.category(DATASET_CATEGORIES),
                *inputs.sampling(),
                io.Boolean.Input(
                    "paste", default=True, tooltip="keep every pixel of the photo outside of what is repainted"
                ),
                io.Boolean.Input(
                    "any_garment",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="also take pictures of garments that seem to show somebody",
                ),
                io.Mask.Input("mask", optional=True, tooltip="1 where a person is repainted, instead of segmenting"),
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="the persons in the garments"),
                io.Mask.Output("mask", display_name="mask", tooltip="what was repainted"),
                io.String.Output("notes", display_name="notes", tooltip="what failed"),
            ],
        )

    @classmethod
    def execute(
        cls,
        models: Models,
        person: torch.Tensor,
        garment: torch.Tensor,
        category: str,
        seed: int,
        steps: int,
        guidance: float,
        paste: bool,
        any_garment: bool = False,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        with one_sentence():
            photos, garments = to_pictures(person, "person"), to_pictures(garment, "garment")
            masks = None if mask is None else to_masks(mask, photos)
            persons = prepared(models, photos, category, masks)
            pictures = looked_at(models, garments, any_garment)
            sampling = inputs.sampling_arguments(seed, steps, guidance) | {"paste": paste}
            results = put_on(models, persons, pictures, sampling)
            notes = check_all([result.error for result in results], PAIR)
            made = [result for result in results if result.error is None]
            images = to_batch([picture for result in made for picture in result.images])
            regions = to_batch([result.region for result in made])
        return io.NodeOutput(images, regions, "\n".join(notes))


def prepared(models: Models, photos: list[Image.Image], category: str, masks: list[Image.Image] | None) -> list[Person]:
    """The persons, with what is repainted of them or an error."""
    toolkit = models.try_on()
    with models.at_work(toolkit, "segmenter"):
        if masks is None:
            persons = toolkit.prepare(photos, category)
        else:
            both = zip(photos, masks, strict=True)
            persons = [toolkit.prepare(photo, category, mask=mask)[0] for photo, mask in both]
    stop_if_asked()
    return persons


def looked_at(models: Models, garments: list[Image.Image], any_garment: bool) -> list[GarmentPicture]:
    """The product pictures; one that shows somebody has an error."""
    from temu_vtoff.stages.fitting_room import GarmentPicture

    if any_garment:
        return [GarmentPicture(picture, f"garment_{number}") for number, picture in enumerate(garments, 1)]
    toolkit = models.try_on()
    with models.at_work(toolkit, "segmenter"):
        return toolkit.check_garments(garments)


def put_on(
    models: Models, persons: list[Person], garments: list[GarmentPicture], sampling: dict[str, object]
) -> list[TryOnResult]:
    """The persons in the garments.

    Raises:
        NodeError: The numbers of both don't fit together.
        InterruptProcessingException: The user has stopped it.
    """
    from temu_vtoff.stages.fitting_room import Pair

    count = max(len(persons), len(garments))
    if {len(persons), len(garments)} - {1, count}:
        raise NodeError(f"there are {len(persons)} persons and {len(garments)} garments: give as many, or one of them.")
    pairs = [
        Pair(persons[number % len(persons)], garments[number % len(garments)], f"{PAIR}_{number + 1}")
        for number in range(count)
    ]
    toolkit = models.try_on()
    sound = sum(pair.error is None for pair in pairs)
    generate = partial(toolkit.generate_pairs, pairs, **sampling)
    return watched(models, toolkit, generate, items=sound, pictures=sound)

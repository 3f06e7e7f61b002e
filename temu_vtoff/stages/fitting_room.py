"""What goes through try-on: persons, pairs of a person and a garment, and the pictures of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from temu_vtoff.pictures import panel, unique_stems
from temu_vtoff.segmentation.labels import Labels
from temu_vtoff.segmentation.masks import mask_picture
from temu_vtoff.stages.garment import Product
from temu_vtoff.stages.reading import Photo, photo_names
from temu_vtoff.stages.tryon_options import OFFSETS, TryOnOptions
from temu_vtoff.tryon.joints import Joints
from temu_vtoff.tryon.region import SHORT_SIDE, Offsets, region_to_repaint


@dataclass(eq=False)
class Person:
    """A person and what of it is repainted.

    Attributes:
        photo: Path of the photo, or the picture itself.
        category: One of `temu_vtoff.segmentation.categories.DATASET_CATEGORIES`.
        name: Unique among the persons of a call.
        region: L, 255 where the person is repainted, of the photo's shape.
        joints: In pixels of the photo; None when unknown.
        pose: Pose picture that replaces the one drawn from the joints.
        error: Why the person can't be served.
    """

    photo: Photo
    category: str
    name: str
    region: Image.Image | None = None
    joints: Joints | None = None
    pose: Image.Image | None = None
    error: Exception | None = None


@dataclass(eq=False)
class Pair:
    """A person and a garment: a picture, or a product of `TryOff`. `error` says why the pair can't be served."""

    person: Person
    garment: Photo | Product
    name: str
    error: Exception | None = None


@dataclass(frozen=True)
class TryOnResult:
    """The pictures of one pair.

    Attributes:
        pair: Person and garment; its `error` says why there are no pictures.
        images: RGB, one for each seed, of the photo's size; not pasted back, of the model's.
        photo: The person's photo, upright; None when it can't be read.
        garment: The garment's picture.
        region: L, 255 where the photo was repainted, of its size.
        seconds: Time of the generation.
    """

    pair: Pair
    images: list[Image.Image] = field(default_factory=list)
    photo: Image.Image | None = None
    garment: Image.Image | None = None
    region: Image.Image | None = None
    seconds: float = 0.0

    @property
    def error(self) -> Exception | None:
        """Why there are no images."""
        return self.pair.error

    def panel(self) -> Image.Image:
        """Person, region, garment and results side by side."""
        return panel([self.photo, self.region, self.garment, *self.images])


def find_region(
    label_map: np.ndarray, labels: Labels, category: str, joints: Joints | None, options: TryOnOptions
) -> Image.Image:
    """The region that the options ask for, L, 255 where the person is repainted; errors as `region_to_repaint`.

    Args:
        label_map: (H, W), ids of `labels`, of one person.
        joints: Of a photo of the same shape.
    """
    height, width = label_map.shape
    region = region_to_repaint(
        label_map,
        category,
        joints=None if joints is None else joints.at(width, height),
        offsets=Offsets(*(getattr(options, name) for name in OFFSETS)),
        tight=options.region == "tight",
        labels=labels,
    )
    return mask_picture(region)


def reduced(photo: Image.Image) -> Image.Image:
    """The photo with at most `SHORT_SIDE` pixels on its short side: labels of more are only slower."""
    scale = min(1.0, SHORT_SIDE / min(photo.size))
    return photo if scale == 1 else photo.resize((round(photo.width * scale), round(photo.height * scale)))


def pairs_of(persons: Sequence[Person], garments: Sequence[Photo | Product]) -> list[Pair]:
    """Every garment on every person; errors of either are the pair's."""
    pictures = [garment for garment in garments if not isinstance(garment, Product)]
    named = iter(photo_names(pictures))
    names = [garment.garment.name if isinstance(garment, Product) else next(named) for garment in garments]
    both = list(product(persons, zip(garments, names, strict=True)))
    stems = unique_stems([Path(f"{person.name}_{name}.png") for person, (_, name) in both])
    return [
        Pair(person, garment, stem, person.error or (garment.error if isinstance(garment, Product) else None))
        for (person, (garment, _)), stem in zip(both, stems, strict=True)
    ]

"""What goes through try-on: persons, pairs of a person and a garment, and the pictures of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from temu_vtoff.errors import ArgumentError
from temu_vtoff.pictures import open_mask, open_picture, panel, same_shape, unique_stems
from temu_vtoff.segmentation.labels import Labels
from temu_vtoff.segmentation.masks import mask_picture
from temu_vtoff.stages.garment import Product
from temu_vtoff.stages.reading import Photo, photo_names
from temu_vtoff.stages.tryon_options import OFFSETS, TryOnOptions
from temu_vtoff.stages.warnings import person_warnings
from temu_vtoff.tryon.fitting import Fitting, draw_pose
from temu_vtoff.tryon.joints import Joints
from temu_vtoff.tryon.region import SHORT_SIDE, Offsets, region_to_repaint

if TYPE_CHECKING:
    from temu_vtoff.tryon.pipeline import TryOnPipeline

# Shares of the people's pixels, from 60 drawn photos of persons and their product pictures. Of 200 others, 96% of the
# photos are refused, and 2% of the product pictures (`python -m benchmarks.bench_people`).
LEAST_FACE, LEAST_BODY = 0.01, 0.08
_BODY = ("face", "hair", "torso", "arms", "hands", "legs", "feet")


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
        body: Where body and clothes are, for models that read it instead of a pose; None when a mask was given.
        error: Why the person can't be served.
        warnings: Sentences about the photo, see `temu_vtoff.stages.warnings.person_warnings`.
        people: How many people the photo shows; 1 until it is segmented.
        number: Which of them this is, from left to right, from 1.
    """

    photo: Photo
    category: str
    name: str
    region: Image.Image | None = None
    joints: Joints | None = None
    pose: Image.Image | None = None
    body: Image.Image | None = None
    error: Exception | None = None
    warnings: list[str] = field(default_factory=list)
    people: int = 1
    number: int = 1


@dataclass(eq=False)
class GarmentPicture:
    """A product picture that was looked at; `error` says why it can't be put on."""

    photo: Photo
    name: str
    error: Exception | None = None


@dataclass(eq=False)
class Pair:
    """A person and a garment: a picture, or a product of `TryOff`. `error` says why the pair can't be served."""

    person: Person
    garment: Photo | GarmentPicture | Product
    name: str
    error: Exception | None = None

    def __post_init__(self) -> None:
        if self.error is None:
            self.error = self.person.error or getattr(self.garment, "error", None)

    def read(self) -> tuple[Image.Image, Image.Image]:
        """Photo and garment, RGB, upright.

        Raises:
            FileNotFoundError: One of the files is missing.
            ValueError: One can't be read.
        """
        garment = self.garment.photo if isinstance(self.garment, GarmentPicture) else self.garment
        garment = garment.images[0] if isinstance(garment, Product) else open_picture(garment)
        return open_picture(self.person.photo), garment


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

    @property
    def warnings(self) -> list[str]:
        """Sentences about the person's photo, and about the photo that the garment was taken off."""
        garment = self.pair.garment
        return [*self.pair.person.warnings, *(garment.garment.warnings if isinstance(garment, Product) else [])]

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


def read_person(person: Person, pose: Photo | None) -> Image.Image:
    """The person's photo; its joints and its pose picture are checked against it.

    Raises:
        ValueError: Joints or pose picture of a photo of another shape.
    """
    photo = open_picture(person.photo)
    if person.joints is not None:
        person.joints = person.joints.at(*photo.size)
    if pose is not None:
        person.pose = open_picture(pose)
        width, height = person.pose.size
        if not same_shape((width, height), photo.size):
            raise ValueError(
                f"the pose picture is {width}x{height}, not of the shape of the photo, {photo.width}x{photo.height}."
            )
    return photo


def own_region(person: Person, photo: Image.Image, mask: Photo) -> Image.Image:
    """The region as a mask gives it; errors as `open_mask`."""
    person.warnings = person_warnings(photo)
    return open_mask(mask, photo)


def fitting_of(person: Person, photo: Image.Image, garment: Image.Image, pipe: TryOnPipeline) -> Fitting:
    """A pair for the pipeline; a pose is drawn where the model reads one and joints are known."""
    pose = person.pose
    if pose is None and person.joints is not None and pipe.pose_guider is not None:
        pose = draw_pose(person.joints, photo)
    body = person.body if person.pose is None else person.pose
    return Fitting(photo, garment, person.region.resize(photo.size, Image.Resampling.NEAREST), pose, body)


def check_no_person(label_map: np.ndarray, labels: Labels) -> None:
    """
    Args:
        label_map: (H, W), ids of `labels`, of a product picture.

    Raises:
        ArgumentError: It is a photo of somebody: it shows a face, and more of a body.
    """
    area = max(1, np.isin(label_map, labels.of_people).sum())
    face, body = (np.isin(label_map, labels.ids(*parts)).sum() / area for parts in (("face",), _BODY))
    if face >= LEAST_FACE and body >= LEAST_BODY:
        raise ArgumentError(
            "{garment} is a photo of somebody, not a product picture: give it as {garment_from}, which takes the "
            "garment off first, or give {any_garment} if it is none.",
            *("garment", "garment_from", "any_garment"),
        )


def pairs_of(persons: Sequence[Person], garments: Sequence[Photo | GarmentPicture | Product]) -> list[Pair]:
    """Every garment on every person; errors of either are the pair's."""
    named = iter(photo_names([one for one in garments if not isinstance(one, (GarmentPicture, Product))]))
    names = [
        one.garment.name if isinstance(one, Product) else one.name if isinstance(one, GarmentPicture) else next(named)
        for one in garments
    ]
    both = list(product(persons, zip(garments, names, strict=True)))
    stems = unique_stems([Path(f"{person.name}_{name}.png") for person, (_, name) in both])
    return [Pair(person, garment, stem) for (person, (garment, _)), stem in zip(both, stems, strict=True)]

"""One garment of one photo, which goes through the stages, and its product pictures."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from temu_vtoff.pictures import panel
from temu_vtoff.segmentation.categories import ALL
from temu_vtoff.segmentation.labels import Labels
from temu_vtoff.segmentation.masks import garment_mask, garments_present, mask_picture, masked_image
from temu_vtoff.segmentation.people import one_person

if TYPE_CHECKING:
    from temu_vtoff.stages.quality import Quality


class Garment:
    """One garment of one photo, filled in by one stage after the other.

    Attributes:
        photo: Path of the photo, or the picture itself.
        category: A key of `temu_vtoff.segmentation.categories.CATEGORIES`; "all" only where no garment was found.
        name: Name for the garment's files, unique among the garments of a call.
        labels: Names of the segmenter's labels that make up the mask.
        note: One sentence if the mask is not what was asked for, for example made of a neighbour's labels.
        caption: One line on the garment's shape; None before the caption stage.
        error: Why the garment can't be served; the stages skip it.
        warnings: Sentences about the photo: from behind, the garment cut by the frame, tiny, or blurred.
        people: How many people the photo shows; 1 until it is segmented.
        person: Whose garment it is, from left to right, from 1.
        mask_file: A mask of one's own, white on the garment, which `TryOff.segment` takes instead of segmenting.
        group: Garments of one group and category are one garment in several photos; see `temu_vtoff.stages.grouping`.
        address: The http(s) address that the photo was fetched from.
        listed: The name of the photo that it was found in, unique among the photos of a call.
    """

    def __init__(
        self,
        photo: str | Path | Image.Image,
        category: str,
        *,
        name: str = "photo",
        mask: Image.Image | None = None,
        labels: tuple[str, ...] = (),
        note: str | None = None,
        caption: str | None = None,
        error: Exception | None = None,
        mask_file: str | Path | Image.Image | None = None,
        group: str | None = None,
    ) -> None:
        self.photo, self.category, self.name = photo, category, name
        self.labels, self.note, self.caption, self.error = labels, note, caption, error
        self.warnings: list[str] = []
        self.people = self.person = 1
        self.mask_file, self.group = mask_file, group
        self.address: str | None = None
        self.listed = name
        self.mask = mask

    def __repr__(self) -> str:
        state = f"error={str(self.error)!r}" if self.error is not None else f"caption={self.caption!r}"
        return f"Garment({self.name!r}, {self.category}, {state})"

    @property
    def item(self) -> str:
        """The same for all garments of a photo, or of the photos of a group."""
        return f"photo {self.listed}" if self.group is None else f"group {self.group}"

    @property
    def origin(self) -> str | Path | Image.Image:
        """The photo as it was given: its address, its path, or the picture."""
        return self.photo if self.address is None else self.address

    @property
    def origin_name(self) -> str:
        """The last part of the photo's path or address; the garment's name for a picture."""
        return self.name if isinstance(self.origin, Image.Image) else str(self.origin).rstrip("/").rsplit("/", 1)[-1]

    @property
    def mask(self) -> Image.Image | None:
        """L, 255 on the garment: at the size of the pictures, or with the photo's aspect ratio."""
        if self._mask is None:
            return None
        with Image.open(io.BytesIO(self._mask)) as picture:
            return picture.convert("L")

    @property
    def mask_png(self) -> bytes | None:
        """The mask as the content of a PNG file."""
        return self._mask

    @mask.setter
    def mask(self, mask: Image.Image | None) -> None:
        self._mask: bytes | None = None  # compressed: thousands of garments wait for the next stage
        if mask is not None:
            data = io.BytesIO()
            mask.save(data, "PNG", compress_level=1)
            self._mask = data.getvalue()


@dataclass(frozen=True)
class Product:
    """The product pictures of one garment.

    Attributes:
        garment: The garment; its `error` is the reason if there are no pictures.
        images: RGB, one for each seed, as the model makes them; empty when the garment could not be served. The best
            come first where the best were asked for.
        finished: The images as `Options.finish` wants them, RGB or RGBA; without it, the images themselves.
        quality: The score of each image, judged without the true picture.
        seeds: The seed of each image.
        photo: The photo as the model saw it, upright and fitted; None when it can't be read.
        mask: L, the mask as the model saw it.
        seconds: Time of the try-off stage, divided by the garments of the batch.
    """

    garment: Garment
    images: list[Image.Image] = field(default_factory=list)
    finished: list[Image.Image] = field(default_factory=list)
    quality: list[Quality] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    photo: Image.Image | None = None
    mask: Image.Image | None = None
    seconds: float = 0.0

    @property
    def error(self) -> Exception | None:
        """Why there are no images."""
        return self.garment.error

    def panel(self) -> Image.Image:
        """Photo, mask, masked image and products side by side, above the caption and the first one's quality."""
        pictures = [self.photo, self.mask, masked_image(self.photo, self.mask), *self.images]
        quality = f" [{self.quality[0].sentence}]" if self.quality else ""
        return panel(pictures, (self.garment.caption or "") + quality)

    def facts(self) -> list[dict[str, Any]]:
        """Seed, score, its parts and doubts of each image, as JSON values; the seed alone where none was scored."""
        scores = [asdict(quality) for quality in self.quality] or [{}] * len(self.seeds)
        return [{"seed": seed, **score} for seed, score in zip(self.seeds, scores, strict=True)]


def garments_of(photo: Garment, label_map: np.ndarray, labels: Labels, person: int | None = None) -> list[Garment]:
    """The wanted garments of one person of a photo.

    Args:
        label_map: (H, W), ids of `labels`.
        person: Number from left to right, from 1; the largest person when left out.

    Raises:
        GarmentNotFoundError: There is none; the message lists what was found instead.
        ArgumentError: Fewer people than `person`.
    """
    one = one_person(label_map, labels, person)
    every = photo.category == ALL
    wanted = (garments_present(one.label_map, labels) or ["upper_body"]) if every else [photo.category]
    garments = []
    for category in wanted:
        found = garment_mask(one.label_map, category, labels=labels)
        notes = [note for note in (one.note, found.note) if note is not None]
        garment = Garment(
            photo.photo,
            category,
            name=f"{photo.name}_{category}" if every else photo.name,
            mask=mask_picture(found.mask),
            labels=found.labels,
            note=" ".join(notes) or None,
            caption=None if every else photo.caption,
            group=photo.group,
        )
        garment.people, garment.person = one.count, one.number
        garment.address, garment.listed = photo.address, photo.listed
        garments.append(garment)
    return garments

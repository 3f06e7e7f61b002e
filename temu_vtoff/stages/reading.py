"""Reads photos and masks: opens them upright and fits them to the size of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from temu_vtoff.backends.registry import EDITORS, check_category
from temu_vtoff.errors import ArgumentError
from temu_vtoff.pictures import fit_picture, open_mask, open_picture, picture_size, unique_stems
from temu_vtoff.pictures.addresses import address_stem, is_address
from temu_vtoff.segmentation.categories import ALL
from temu_vtoff.segmentation.labels import ATR, Labels
from temu_vtoff.stages.batches import attempt
from temu_vtoff.stages.garment import Garment
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.warnings import photo_warnings

Photo = str | Path | Image.Image


@dataclass(frozen=True)
class Frame:
    """The size of the pictures, and how photos of another aspect ratio are fitted to it.

    Attributes:
        may_cover_all: Whether a mask may cover the whole photo: image-editing models don't need it.
    """

    width: int
    height: int
    resize_mode: str
    may_cover_all: bool = False

    @classmethod
    def of(cls, options: Options) -> Frame:
        """
        Raises:
            ArgumentError: A size that the model can't make.
            CheckpointError: A source can't be loaded.
        """
        return cls(*options.size(), options.resize_mode, may_cover_all=options.backend in EDITORS)

    def photo(self, source: Photo) -> Image.Image:
        """The photo, upright RGB, at the size of the pictures.

        Raises:
            FileNotFoundError: No such file.
            ValueError: It can't be read.
        """
        return fit_picture(open_picture(source), self.width, self.height, self.resize_mode)

    def mask(self, mask: Photo, photo: Photo) -> Image.Image:
        """A mask with the photo's aspect ratio, L, fitted like the photo.

        Raises:
            FileNotFoundError: No such file.
            ValueError: It can't be read, has another aspect ratio than the photo, or is empty.
        """
        mask = open_mask(mask, open_picture(photo), may_cover_all=self.may_cover_all)
        return fit_picture(mask, self.width, self.height, self.resize_mode, fill=0, resample=Image.Resampling.NEAREST)

    def pair(self, garment: Garment) -> tuple[Image.Image, Image.Image]:
        """Photo and mask of a garment; a mask that already has the size of the pictures is not fitted.

        Raises:
            ArgumentError: The garment has no mask.
            ValueError: One of the two can't be read, or the mask has another aspect ratio than the photo.
        """
        mask = garment.mask
        if mask is None:
            raise ArgumentError(f"The garment {garment.name} has no {{mask}}: segment it first.", "mask")
        if mask.size != (self.width, self.height):
            mask = self.mask(mask, garment.photo)
        return self.photo(garment.photo), mask

    def captioned(self, garment: Garment) -> Image.Image:
        """What the captioner sees: the photo; of several people the part around the garment, twice its size.

        Raises:
            FileNotFoundError: No such file.
            ValueError: It can't be read.
        """
        photo = self.photo(garment.photo)
        box = None if garment.people < 2 else self.pair(garment)[1].getbbox()
        if box is None:
            return photo
        left, top, right, bottom = box
        across, down = (right - left + 1) // 2, (bottom - top + 1) // 2
        return photo.crop(
            (
                max(left - across, 0),
                max(top - down, 0),
                min(right + across, photo.width),
                min(bottom + down, photo.height),
            )
        )

    def warn(
        self,
        garment: Garment,
        photo: Image.Image | None = None,
        label_map: np.ndarray | None = None,
        labels: Labels = ATR,
    ) -> None:
        """Fills in the garment's warnings.

        Args:
            photo: The fitted photo, if it is open already.
            label_map: Argument of `photo_warnings`, like `labels`.
        """
        if garment.mask is None:
            return
        photo = self.photo(garment.photo) if photo is None else photo
        garment.warnings = photo_warnings(
            photo,
            garment.mask,
            size=picture_size(garment.photo),
            resize_mode=self.resize_mode,
            label_map=label_map,
            labels=labels,
            may_cover_all=self.may_cover_all,
        )


def as_list(photos: Photo | Garment | Sequence[Photo | Garment]) -> list[Photo | Garment]:
    """One photo or several."""
    return [photos] if isinstance(photos, (str, Path, Image.Image, Garment)) else list(photos)


def as_garments(
    photos: Sequence[Photo | Garment], category: str, backend: str, mask: Photo | None = None
) -> list[Garment]:
    """Photos as garments of a category with names and a mask; garments as they are, with an error if they can't be."""
    alone = [photo for photo in photos if not isinstance(photo, Garment)]
    names = iter(photo_names(alone))
    garments = [
        photo if isinstance(photo, Garment) else Garment(photo, category, name=next(names), mask_file=mask)
        for photo in photos
    ]
    for garment in garments:
        garment.listed = garment.name
        if garment.error is None:
            attempt(garment, lambda g: check_category(g.category, backend))
        if garment.error is None and garment.category == ALL and (garment.mask_file or garment.caption) is not None:
            garment.error = ValueError("a mask or a caption is of one garment: give its category instead of all.")
    return garments


def make_names_unique(garments: Sequence[Garment]) -> None:
    """Renames garments where a list's own names meet those that the categories are added to."""
    if len({garment.name.casefold() for garment in garments}) < len(garments):
        names = unique_stems([Path(f"{garment.name}.{number}") for number, garment in enumerate(garments, 1)])
        for garment, name in zip(garments, names, strict=True):
            garment.name = name


def photo_names(photos: Sequence[Photo]) -> list[str]:
    """A name for each photo: its file's stem, or a number."""

    def file(photo: Photo, number: int) -> Path:
        if isinstance(photo, Image.Image):
            return Path(f"photo_{number}")
        return Path(f"{address_stem(photo)}.jpg") if is_address(photo) else Path(photo)

    return unique_stems([file(photo, number) for number, photo in enumerate(photos, 1)])

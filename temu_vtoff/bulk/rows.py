"""One photo as a row between the stages, and the garments in it.

A row holds the photo as bytes or as a path, and the garments found in it, so that a photo is finished whole or not at
all, however many garments are in it. For try-on the photo shows the person who is dressed, and the row also holds a
product picture, or the photo of another person whose garment is taken off first.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
from PIL import Image

from temu_vtoff.pictures.formats import register_plugin
from temu_vtoff.pictures.opening import reading, upright
from temu_vtoff.serving import describe
from temu_vtoff.stages.fitting_room import Person
from temu_vtoff.stages.garment import Garment
from temu_vtoff.tryon.joints import Joints

ROW = pa.schema(
    {
        "id": pa.string(),  # unique
        "place": pa.string(),  # path or URL of the photo, where its bytes are not in the row yet; else its file's name
        "photo": pa.large_binary(),  # file content
        "category": pa.string(),
        "caption": pa.string(),  # that came with the photo
        "garment_place": pa.string(),  # as `place`, of the garment to put on
        "garment": pa.large_binary(),  # file content: a product picture, or a photo of somebody who wears the garment
        "garment_is_worn": pa.bool_(),
        "joints": pa.string(),  # path of the file with the person's joints
        "error": pa.string(),
        "fitter": pa.large_binary(),  # pickled `Fitter`, for try-on
        "pieces": pa.large_binary(),  # pickled list of `Piece`, None before the first stage
    }
)
_PICKLED = ("fitter", "pieces")


@dataclass(frozen=True)
class Fitter:
    """What try-on needs to know of a person, with pictures as file content.

    Attributes:
        region: PNG, L, 255 where the person is repainted.
        body: PNG, where body and clothes are; None where no model reads it.
        joints: In pixels of the photo; None when unknown.
        warnings: Sentences about the photo.
    """

    region: bytes
    body: bytes | None
    joints: Joints | None
    warnings: list[str]

    @classmethod
    def of(cls, person: Person) -> Fitter:
        """What `TryOn.prepare` found."""
        body = None if person.body is None else png_of(person.body)
        return cls(png_of(person.region), body, person.joints, person.warnings)

    def person(self, photo: Image.Image, category: str, name: str) -> Person:
        """The person again, as `TryOn.generate_pairs` takes it."""
        body = None if self.body is None else opened(self.body, name)
        region = opened(self.region, name).convert("L")
        how = {"joints": self.joints, "body": body, "warnings": self.warnings}
        return Person(photo, category, name, region=region, **how)


@dataclass
class Piece:
    """A garment of a photo, and what was made of it.

    Attributes:
        garment: Without its photo.
        picture: File content of the product picture.
        facts: Seed, quality and doubts of the picture.
        is_given: Whether its product picture came with the photo, so that nothing is taken off.
        worn: PNG of the person wearing it.
    """

    garment: Garment
    picture: bytes | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    is_given: bool = False
    worn: bytes | None = None


@dataclass
class Photo:
    """A row, unpacked. Its attributes are the columns of `ROW`."""

    id: str
    place: str | None = None
    photo: bytes | None = None
    category: str | None = None
    caption: str | None = None
    garment_place: str | None = None
    garment: bytes | None = None
    garment_is_worn: bool = False
    joints: str | None = None
    error: str | None = None
    fitter: Fitter | None = None
    pieces: list[Piece] = field(default_factory=list)

    def picture(self) -> Image.Image:
        """The photo, upright.

        Raises:
            ValueError: Empty, damaged, or no picture.
        """
        return opened(self.photo, self.id, self.place)

    def garment_picture(self) -> Image.Image:
        """The garment to put on, or the photo of somebody who wears it, upright; errors as for `picture`."""
        return opened(self.garment, f"the garment of {self.id}", self.garment_place)

    def source_picture(self) -> Image.Image:
        """The photo that garments are taken off; errors as for `picture`."""
        return self.garment_picture() if self.garment_is_worn else self.picture()

    def sound(self) -> list[Piece]:
        """The pieces that can go through the next stage."""
        return [] if self.error is not None else [piece for piece in self.pieces if piece.garment.error is None]

    def fail(self, error: Exception | str) -> None:
        """Keeps the error of the whole photo."""
        self.error = error if isinstance(error, str) else describe(error)


def opened(data: bytes | None, name: str, place: str | None = None) -> Image.Image:
    """The picture in a file's content, upright.

    Args:
        data: File content.
        name: For messages.
        place: The file's path, whose suffix may need one of Pillow's plugins.

    Raises:
        ValueError: Empty, damaged, or no picture.
    """
    if not data:
        raise ValueError(f"{name} is empty: 0 bytes.")
    register_plugin(PurePosixPath(place or "").suffix)
    try:
        image = Image.open(io.BytesIO(data))
    except Exception as error:  # Pillow's readers raise all kinds on damaged files
        raise ValueError(f"{name} can't be read as a picture.") from error
    image.filename = name  # for messages
    with reading(image) as (picture, _):
        return upright(picture)


def png_of(picture: Image.Image) -> bytes:
    """The picture as the content of a PNG file."""
    data = io.BytesIO()
    picture.save(data, "PNG", compress_level=1)
    return data.getvalue()


def table_of(photos: Sequence[Photo]) -> pa.Table:
    """The photos as rows of `ROW`. Errors become sentences, because not all of them can be sent."""
    rows = []
    for photo in photos:
        for piece in photo.pieces:
            piece.garment.photo = None
            if piece.garment.error is not None:
                piece.garment.error = ValueError(describe(piece.garment.error))
        pickled = {
            name: pickle.dumps(value) if value else None for name, value in vars(photo).items() if name in _PICKLED
        }
        rows.append(vars(photo) | pickled)
    return pa.Table.from_pylist(rows, ROW)


def photos_of(table: pa.Table) -> list[Photo]:
    """The rows of a table, unpacked."""
    photos = [Photo(**row) for row in table.select(ROW.names).to_pylist()]
    for photo in photos:
        photo.fitter = None if photo.fitter is None else pickle.loads(photo.fitter)
        photo.pieces = [] if photo.pieces is None else pickle.loads(photo.pieces)
    return photos


def photo_seed(photo_id: str, seed: int) -> int:
    """The random seed of a photo, in [0, 2^63); it depends only on the photo's id and the run's seed."""
    digest = hashlib.sha256(f"{seed} {photo_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

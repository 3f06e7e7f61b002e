"""One photo as a row between the stages, and the garments in it.

A row holds the photo as bytes or as a path, and the garments found in it, so that a photo is finished whole or not at
all, however many garments are in it.
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
from temu_vtoff.stages.garment import Garment

ROW = pa.schema(
    {
        "id": pa.string(),  # unique
        "place": pa.string(),  # path or URL of the photo, where its bytes are not in the row yet; else its file's name
        "photo": pa.large_binary(),  # file content
        "category": pa.string(),
        "caption": pa.string(),  # that came with the photo
        "error": pa.string(),
        "pieces": pa.large_binary(),  # pickled list of `Piece`, None before the first stage
    }
)


@dataclass
class Piece:
    """A garment of a photo, and what was made of it.

    Attributes:
        garment: Without its photo.
        picture: File content of the product picture.
        facts: Seed, quality and doubts of the picture.
    """

    garment: Garment
    picture: bytes | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Photo:
    """A row, unpacked. Its attributes are the columns of `ROW`."""

    id: str
    place: str | None = None
    photo: bytes | None = None
    category: str | None = None
    caption: str | None = None
    error: str | None = None
    pieces: list[Piece] = field(default_factory=list)

    def picture(self) -> Image.Image:
        """The photo, upright.

        Raises:
            ValueError: Empty, damaged, or no picture.
        """
        if not self.photo:
            raise ValueError(f"{self.id} is empty: 0 bytes.")
        register_plugin(PurePosixPath(self.place or "").suffix)
        try:
            image = Image.open(io.BytesIO(self.photo))
        except Exception as error:  # Pillow's readers raise all kinds on damaged files
            raise ValueError(f"{self.id} can't be read as a picture.") from error
        image.filename = self.id  # for messages
        with reading(image) as (opened, _):
            return upright(opened)

    def sound(self) -> list[Piece]:
        """The pieces that can go through the next stage."""
        return [] if self.error is not None else [piece for piece in self.pieces if piece.garment.error is None]

    def fail(self, error: Exception | str) -> None:
        """Keeps the error of the whole photo."""
        self.error = error if isinstance(error, str) else describe(error)


def table_of(photos: Sequence[Photo]) -> pa.Table:
    """The photos as rows of `ROW`. Errors become sentences, because not all of them can be sent."""
    rows = []
    for photo in photos:
        for piece in photo.pieces:
            piece.garment.photo = None
            if piece.garment.error is not None:
                piece.garment.error = ValueError(describe(piece.garment.error))
        rows.append(vars(photo) | {"pieces": pickle.dumps(photo.pieces) if photo.pieces else None})
    return pa.Table.from_pylist(rows, ROW)


def photos_of(table: pa.Table) -> list[Photo]:
    """The rows of a table, unpacked."""
    rows = table.select(ROW.names).to_pylist()
    return [Photo(**row | {"pieces": pickle.loads(row["pieces"]) if row["pieces"] else []}) for row in rows]


def photo_seed(photo_id: str, seed: int) -> int:
    """The random seed of a photo, in [0, 2^63); it depends only on the photo's id and the run's seed."""
    digest = hashlib.sha256(f"{seed} {photo_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

"""Drawn people as pairs for the transformers' training, optionally with correspondences and mirrored copies.

Letters: B items, r c sides of the grid of coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from PIL import ImageOps

from builtin_training.correspondences import correspondence_path, open_correspondence
from temu_vtoff.datasets import Sample, SampleBatch, TryOffDataset
from temu_vtoff.errors import ArgumentError
from temu_vtoff.training.encoding import EncodedBatch
from temu_vtoff.training.live_encoding import LiveEncoding
from temu_vtoff.training.pairs import PairDataset


@dataclass(frozen=True)
class DrawnSample(Sample):
    """A sample with the coordinates of `correspondences.open_correspondence`."""

    coords: np.ndarray | None = None


@dataclass(frozen=True)
class DrawnBatch(SampleBatch):
    """A batch of drawn samples."""

    coords: torch.Tensor | None = None  # (B, r, c, 2): x and y in the photo, NaN where it doesn't show that place


@dataclass(frozen=True)
class EncodedDrawnBatch(EncodedBatch):
    """A batch of drawn samples, encoded by the frozen models, with the coordinates."""

    coords: torch.Tensor | None = None  # as in `DrawnBatch`


class DrawnPairs(PairDataset):
    """Pairs with coordinates, if their folder is given.

    Args:
        dataset: Opened by `temu_vtoff.training.pairs.open_split`.
        correspondence_dir: Written by `python -m drawn_people --correspondences`.
        with_mirrored: Whether all items follow a second time, with left and right exchanged.

    Raises:
        ArgumentError: There is no such folder.
    """

    def __init__(
        self, dataset: TryOffDataset, correspondence_dir: str | Path | None = None, with_mirrored: bool = False
    ) -> None:
        if correspondence_dir is not None and not Path(correspondence_dir).is_dir():
            raise ArgumentError(
                f"{{correspondence_dir}}: there is no folder {correspondence_dir}; `python -m drawn_people "
                "--correspondences` writes one, truth/correspondences.",
                "correspondence_dir",
            )
        super().__init__(dataset)
        self.correspondence_dir = correspondence_dir
        self.first_mirrored = len(self.order)
        if with_mirrored:
            self.order *= 2

    def read(self, position: int) -> DrawnSample:
        sample = super().read(position)
        coords = None
        if self.correspondence_dir is not None:
            coords = open_correspondence(correspondence_path(self.correspondence_dir, sample.item))
            _require_proportions(coords, self.dataset.size)
        drawn = DrawnSample(**{field.name: getattr(sample, field.name) for field in fields(sample)}, coords=coords)
        return mirrored(drawn) if position >= self.first_mirrored else drawn

    def stack(self, samples: Sequence[DrawnSample]) -> DrawnBatch:
        batch, coords = super().stack(samples), [sample.coords for sample in samples]
        if coords[0] is not None and len({array.shape for array in coords}) > 1:
            raise ValueError("Correspondences of several sizes can't be stacked: draw all people in one size.")
        stacked = None if coords[0] is None else torch.from_numpy(np.stack(coords))
        return DrawnBatch(**{field.name: getattr(batch, field.name) for field in fields(batch)}, coords=stacked)


class DrawnLiveEncoding(LiveEncoding):
    """As `LiveEncoding`, for `DrawnPairs`."""

    batch_class = EncodedDrawnBatch

    def encode_fields(self, batch: DrawnBatch) -> dict[str, torch.Tensor]:
        coords = {} if batch.coords is None else {"coords": batch.coords}
        return super().encode_fields(batch) | coords


def mirrored(sample: DrawnSample) -> DrawnSample:
    """The sample with left and right exchanged in every picture and in the coordinates."""
    pictures = {name: getattr(sample, name) for name in ("person", "garment", "mask", "masked_image")}
    changed = {name: ImageOps.mirror(picture) for name, picture in pictures.items() if picture is not None}
    if sample.coords is not None:
        coords = changed["coords"] = sample.coords[:, ::-1].copy()
        coords[..., 0] = 1 - coords[..., 0]
    return replace(sample, **changed)


def _require_proportions(coords: np.ndarray, size: tuple[int, int]) -> None:
    """Pictures of other proportions would be padded, and their coordinates would be wrong."""
    (rows, columns), (width, height) = coords.shape[:2], size
    if abs(width * rows - height * columns) > 0.05 * height * columns:
        raise ArgumentError(
            f"The correspondences belong to pictures whose sides are {columns}:{rows}, unlike {width}x{height}: choose "
            "a {width} and {height} of these proportions.",
            "width",
            "height",
        )

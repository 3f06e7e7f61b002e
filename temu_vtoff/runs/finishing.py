"""Scores and finishes the pictures of a run over a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from temu_vtoff.finishing import Finish, finish_picture
from temu_vtoff.pictures import picture_size
from temu_vtoff.stages.quality import judge
from temu_vtoff.stages.selecting import image_encoder
from temu_vtoff.stages.warnings import FROM_BEHIND, photo_warnings

if TYPE_CHECKING:
    from temu_vtoff import TryOffPipeline
    from temu_vtoff.datasets import Item, Sample


@dataclass(frozen=True)
class Finisher:
    """What becomes of a picture before it is written.

    Attributes:
        finish: Background, frame and file.
        upscaler: The model that `finish` names.
        resize_mode: How the photos were fitted.
        is_from_behind: Whether an item's person is seen from behind.
    """

    finish: Finish = field(default_factory=Finish)
    upscaler: Callable[[Image.Image], Image.Image] | None = None
    resize_mode: str = "pad"
    is_from_behind: Callable[[Item], bool] | None = None

    def picture(self, picture: Image.Image, sample: Sample) -> Image.Image:
        """The finished picture."""
        if self.finish == Finish():
            return picture
        size = picture_size(sample.item.person) if self.finish.keep_size else None
        return finish_picture(picture, self.finish, photo_size=size, upscaler=self.upscaler)

    def facts(self, picture: Image.Image, sample: Sample, pipe: TryOffPipeline) -> dict[str, Any]:
        """For the manifest: score and doubts of the picture, and warnings about the photo."""
        quality = judge([picture], sample.person, sample.mask, embed=image_encoder(pipe))[0]
        size = picture_size(sample.item.person)
        warnings = photo_warnings(sample.person, sample.mask, size=size, resize_mode=self.resize_mode)
        if self.is_from_behind is not None and self.is_from_behind(sample.item):
            warnings.insert(0, FROM_BEHIND)
        return {"quality": quality.score, "doubts": "; ".join(quality.doubts), "warnings": " ".join(warnings)}

"""One item of a try-off dataset: its names and paths, its pictures, and batches as tensors.

Letters: B items, H W picture size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

from temu_vtoff.pictures import short_stem


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a pairs file: the photo of a person and the product picture that belongs to it by that list.

    Attributes:
        index: Position in the dataset.
        category: "upper_body", "lower_body" or "dresses".
        folder: Subfolder of every file generated for this item: the category in DressCode, the phase in VITON-HD.
        person: The photo.
        garment: The product picture. Unpaired lists name another garment than the person wears.
        label_map: The class of each pixel of the photo.
        whole_stem: Whether the id is the garment's whole stem; otherwise it is the name up to the first "_".
    """

    index: int
    category: str
    folder: str
    person: Path
    garment: Path
    label_map: Path
    whole_stem: bool = False

    @property
    def id(self) -> str:
        """The garment's name up to the first "_", as in the published caption files, or its whole stem."""
        return self.garment_stem if self.whole_stem else self.garment.name.split("_")[0]

    @property
    def garment_stem(self) -> str:
        """The garment's stem in the pairs file, also where the cleaned picture is used."""
        return self.garment.stem.removesuffix("_cleaned")

    @property
    def stem(self) -> str:
        """Stem of the generated picture: the garment's, and before it the person's if they wear another garment."""
        if self.id == (self.person.stem if self.whole_stem else self.person.name.split("_")[0]):
            return short_stem(self.garment_stem)
        return short_stem(f"{self.person.stem}_{self.garment_stem}")

    @property
    def key(self) -> str:
        """`<category>/<stem>`: unique in the dataset, and a prediction's path without the suffix."""
        return f"{self.category}/{self.stem}"


@dataclass(frozen=True)
class Sample:
    """An item with the pictures that were asked for; the others are None.

    Attributes:
        item: Names and paths.
        person: RGB, upright.
        garment: RGB, upright.
        mask: L, 255 on the garment in the photo and 0 elsewhere.
        masked_image: RGB, the photo with the garment grey (128).
        caption: May be empty; None if the item has none.
    """

    item: Item
    person: Image.Image | None = None
    garment: Image.Image | None = None
    mask: Image.Image | None = None
    masked_image: Image.Image | None = None
    caption: str | None = None


@dataclass(frozen=True)
class SampleBatch:
    """Samples of one size as tensors, float32 in [0, 1]; None for what was not loaded."""

    items: list[Item]
    captions: list[str | None]
    person: torch.Tensor | None  # (B, 3, H, W)
    garment: torch.Tensor | None  # (B, 3, H, W)
    mask: torch.Tensor | None  # (B, 1, H, W), 1 = garment
    masked_image: torch.Tensor | None  # (B, 3, H, W), exactly 0.5 on the garment


def stack_samples(samples: Sequence[Sample]) -> SampleBatch:
    """A `collate_fn` for `torch.utils.data.DataLoader`; give the dataset a width and a height.

    Raises:
        ValueError: The pictures differ in size.
    """

    def stack(field: str) -> torch.Tensor | None:
        pictures = [getattr(sample, field) for sample in samples]
        if pictures[0] is None:
            return None
        if len({picture.size for picture in pictures}) > 1:
            raise ValueError("Pictures of several sizes can't be stacked: open the dataset with width and height.")
        return torch.stack([to_tensor(picture) for picture in pictures])

    mask, masked_image = stack("mask"), stack("masked_image")
    if masked_image is not None and mask is not None:
        masked_image = torch.where(mask > 0.5, 0.5, masked_image)  # grey 128 / 255 is slightly more
    return SampleBatch(
        items=[sample.item for sample in samples],
        captions=[sample.caption for sample in samples],
        person=stack("person"),
        garment=stack("garment"),
        mask=mask,
        masked_image=masked_image,
    )

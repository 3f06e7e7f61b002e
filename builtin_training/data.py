"""Drawn people as training data: the items of a DressCode layout that `python -m drawn_people` wrote, as tensors.

Letters: B items, H W picture size.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from temu_vtoff.pictures import open_picture
from temu_vtoff.segmentation.categories import DATASET_CATEGORIES as CATEGORIES
from temu_vtoff.segmentation.labels import ATR
from temu_vtoff.segmentation.masks import GREY

Kind = Literal["photo", "masked", "product"]


@dataclass(frozen=True)
class Item:
    """One person wearing one garment of interest; `layers` is the label map that tells an open jacket apart."""

    category: str
    photo: Path
    product: Path
    label_map: Path
    caption: str
    attributes: dict[str, str]
    measures: dict[str, float]
    pattern: str
    layers: Path | None = None

    def open_photo(self) -> Image.Image:
        """The person."""
        return open_picture(self.photo)

    def open_product(self) -> Image.Image:
        """The garment's product picture."""
        return open_picture(self.product)

    def read_labels(self, layers: bool = False) -> np.ndarray:
        """(H, W) uint8 ids of the photo's label map; with `layers`, an open jacket has an id of its own."""
        with Image.open(self.layers if layers and self.layers else self.label_map) as image:
            return np.asarray(image)


def read_items(root: Path, split: str, count: int | None = None) -> list[Item]:
    """The items of a split, category after category.

    Args:
        root: Folder that `python -m drawn_people --layout dresscode` wrote.
        split: "train" or "test".
        count: Number of items, the first ones, equally many from each category; None takes all.

    Raises:
        FileNotFoundError: There are no drawn people in `root`.
    """
    items = []
    for category in CATEGORIES:
        truth = root / "truth" / f"{split}_{category}.jsonl"
        if not truth.is_file():
            raise FileNotFoundError(
                f"{root} holds no drawn people ({truth.name} is missing): write them with `python -m drawn_people "
                f"--layout dresscode --output {root}`."
            )
        rows = truth.read_bytes().splitlines()
        for number, row in enumerate(rows[: None if count is None else count // len(CATEGORIES)], 1):
            try:
                facts = json.loads(row)
            except (ValueError, RecursionError) as error:
                raise ValueError(
                    f"{truth}, line {number} is damaged; `python -m drawn_people`, called as before, writes it again."
                ) from error
            folder, name = root / category, facts["id"]
            items.append(
                Item(
                    category=category,
                    photo=folder / "images" / f"{name}_0.jpg",
                    product=folder / "images" / f"{name}_1.jpg",
                    label_map=folder / "label_maps" / f"{name}_4.png",
                    caption=facts["caption"],
                    attributes=facts["attributes"],
                    measures=facts["measures"],
                    pattern=facts["pattern"],
                    layers=root / "truth" / "layers" / category / f"{name}.png" if "outer" in facts else None,
                )
            )
    return items


def read_pictures(items: Sequence[Item], kind: Kind) -> torch.Tensor:
    """(B, 3, H, W) uint8; all of one size.

    Args:
        kind: The photo, the masked image (the photo with the garment grey), or the product picture.
    """
    opened = [item.open_product() if kind == "product" else item.open_photo() for item in items]
    sizes = {picture.size for picture in opened}
    if len(sizes) > 1:
        raise ValueError(f"The pictures are of several sizes, {sorted(sizes)}; draw them all in one.")
    pictures = torch.from_numpy(np.stack([np.asarray(picture) for picture in opened])).permute(0, 3, 1, 2)
    if kind == "masked":
        pictures = torch.where(garment_masks(read_label_maps(items), items)[:, None], GREY, pictures)
    return pictures


def read_label_maps(items: Sequence[Item], layers: bool = False) -> torch.Tensor:
    """(B, H, W) uint8 ids of `temu_vtoff.segmentation.labels.ATR`; `layers` as for `Item.read_labels`."""
    return torch.from_numpy(np.stack([item.read_labels(layers) for item in items]))


def garment_masks(labels: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
    """(B, H, W) bool: where a label map (B, H, W) has the item's garment."""
    wanted = [torch.tensor(ATR.of_category(item.category), device=labels.device) for item in items]
    return torch.stack([torch.isin(one, ids.to(one.dtype)) for one, ids in zip(labels, wanted, strict=True)])

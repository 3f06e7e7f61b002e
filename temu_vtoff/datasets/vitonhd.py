"""VITON-HD (Choi et al. 2021): tops only, LIP label maps, the worn garment under the person's own file name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from temu_vtoff.datasets.base import TryOffDataset
from temu_vtoff.datasets.sample import Item
from temu_vtoff.segmentation.labels import ATR, VITON_HD
from temu_vtoff.segmentation.masks import GarmentMask, garment_mask

TOPS = ("top", "dress", "outer")  # whatever covers the upper body


class VitonHDDataset(TryOffDataset):
    """See `TryOffDataset`; the only category is upper_body."""

    name = "vitonhd"
    categories = ("upper_body",)
    layout = (
        "VITON-HD's layout, <root>/{train,test}/ with image/, cloth/ and image-parse-v3/, and "
        "<root>/{train,test}_pairs.txt"
    )

    labels = VITON_HD
    label_map_name = "image-parse-v3/<id>.png"

    def _read_items(self, category: str) -> Iterator[tuple]:
        folder = self.root / self.phase
        pairs = self._read_pairs(self.root / f"{self.phase}_pairs.txt")
        if self.order == "unpaired" and all(person == garment for person, garment in pairs):
            raise ValueError(
                f"{self.phase}_pairs.txt of {self.root} pairs everybody with their own garment: use paired."
            )
        images, clothes, label_maps = folder / "image", folder / "cloth", folder / "image-parse-v3"
        for person, garment in pairs:
            worn = garment if self.order == "unpaired" else person
            yield category, self.phase, images / person, clothes / worn, label_maps / f"{person.rsplit('.', 1)[0]}.png"

    def _garment_from_label_map(self, item: Item) -> GarmentMask:
        tops = np.isin(self.label_map(item), VITON_HD.ids(*TOPS))
        return garment_mask(tops * np.uint8(ATR.ids("top")[0]), item.category)

    def joints_file(self, item: Item) -> Path:
        return item.person.parents[1] / "openpose_json" / f"{item.person.stem}_keypoints.json"

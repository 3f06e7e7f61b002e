"""DressCode (Morelli et al. 2022): three categories, each with its own folder, lists and ATR label maps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from temu_vtoff.datasets.base import TryOffDataset
from temu_vtoff.datasets.sample import Item
from temu_vtoff.segmentation.labels import ATR
from temu_vtoff.segmentation.masks import GarmentMask, garment_mask


class DressCodeDataset(TryOffDataset):
    """See `TryOffDataset`. A garment picture in `cleaned_inshop_imgs/` takes precedence over the one in `images/`."""

    name = "dresscode"
    layout = (
        "DressCode's layout, <root>/{upper_body,lower_body,dresses}/ with images/<id>_0.jpg (person) and <id>_1.jpg "
        "(garment), label_maps/<id>_4.png, train_pairs.txt, test_pairs_paired.txt, test_pairs_unpaired.txt"
    )

    labels = ATR
    label_map_name = "label_maps/<id>_4.png"

    def _read_items(self, category: str) -> Iterator[tuple]:
        if self.phase == "train" and self.order == "unpaired":
            raise ValueError("DressCode has no unpaired list for training: use order paired, or phase test.")
        folder = self.root / category
        pairs = folder / ("train_pairs.txt" if self.phase == "train" else f"test_pairs_{self.order}.txt")
        images, label_maps, cleaned = folder / "images", folder / "label_maps", folder / "cleaned_inshop_imgs"
        cleaned_names = {path.name for path in cleaned.iterdir()} if cleaned.is_dir() else set()
        for person, garment in self._read_pairs(pairs):
            cleaned_name = f"{garment.rsplit('.', 1)[0]}_cleaned.jpg"
            picture = cleaned / cleaned_name if cleaned_name in cleaned_names else images / garment
            label_map = label_maps / f"{person.rsplit('_', 1)[0]}_4.png"
            yield category, category, images / person, picture, label_map

    def _garment_from_label_map(self, item: Item) -> GarmentMask:
        return garment_mask(self.label_map(item), item.category)

    def joints_file(self, item: Item) -> Path:
        return item.label_map.parents[1] / "keypoints" / f"{item.label_map.stem.removesuffix('_4')}_2.json"

"""The base class of both datasets: it lists items from pairs files and reads the pictures of an item."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from temu_vtoff.datasets import MASK_TYPES, ORDERS, PHASES
from temu_vtoff.datasets.captions import read_captions
from temu_vtoff.datasets.masks import (
    generated_joints_path,
    generated_label_map_path,
    generated_mask_path,
    open_label_map,
    shape_mask,
)
from temu_vtoff.datasets.pairs import read_pairs
from temu_vtoff.datasets.sample import Item, Sample
from temu_vtoff.errors import check_choice
from temu_vtoff.pictures import RESIZE_MODES, fit_picture, open_mask, open_picture, same_shape
from temu_vtoff.segmentation.categories import DATASET_CATEGORIES
from temu_vtoff.segmentation.labels import Labels
from temu_vtoff.segmentation.masks import GarmentMask, masked_image
from temu_vtoff.tryon.joints import Joints, read_joints

logger = logging.getLogger(__name__)

LOADABLE = ("person", "garment", "mask", "masked_image")


class TryOffDataset(Dataset[Sample]):
    """Items of a dataset in the order of its pairs files; opening it reads lists only, no pictures.

    Args:
        root: The dataset's folder; nothing is ever written there.
        phase: "train" or "test".
        order: "paired": the garment that the person wears; "unpaired": another one, from the dataset's list.
        category: One of `categories`, or "all".
        load: The pictures that a sample holds; names from `LOADABLE`.
        captions: A caption file, or captions by item id. Items without one are listed in `without_caption`.
        mask_dir: Generated masks (`masks.generated_mask_path`), which have precedence over label maps.
        label_map_dir: Generated label maps (`masks.generated_label_map_path`), which have precedence too.
        joints_dir: Estimated joints (`masks.generated_joints_path`), for items whose joints the dataset lacks.
        mask_type: See `masks.shape_mask`.
        width: Pictures are fitted to width x height; both None keeps their own sizes.
        height: See width.
        resize_mode: "pad", "crop" or "stretch".

    Raises:
        FileNotFoundError: The root, a pairs file or the caption file is missing.
        ValueError: An unknown choice, or a damaged list.
    """

    name: ClassVar[str]
    categories: ClassVar[tuple[str, ...]] = DATASET_CATEGORIES
    layout: ClassVar[str]  # for messages
    labels: ClassVar[Labels]  # what the ids of label maps stand for
    label_map_name: ClassVar[str]  # for messages

    def __init__(
        self,
        root: str | Path,
        phase: str = "test",
        order: str = "paired",
        category: str = "all",
        *,
        load: Collection[str] = ("person", "garment", "mask"),
        captions: str | Path | Mapping[str, str] | None = None,
        mask_dir: str | Path | None = None,
        label_map_dir: str | Path | None = None,
        joints_dir: str | Path | None = None,
        mask_type: str = "fine",
        width: int | None = None,
        height: int | None = None,
        resize_mode: str = "pad",
    ) -> None:
        check_choice("phase", phase, PHASES)
        check_choice("order", order, ORDERS)
        check_choice("category", category, (*self.categories, "all"))
        check_choice("mask_type", mask_type, MASK_TYPES)
        check_choice("resize_mode", resize_mode, RESIZE_MODES)
        for part in load:
            check_choice("load", part, LOADABLE)
        if (width is None) != (height is None):
            raise ValueError("Give both width and height, or neither.")
        self.root, self.phase, self.order = Path(root), phase, order
        if not self.root.is_dir():
            raise FileNotFoundError(f"There is no folder {self.root}; expected {self.layout}.")
        self.load, self.mask_dir, self.mask_type = frozenset(load), mask_dir, mask_type
        self.label_map_dir, self.joints_dir = label_map_dir, joints_dir
        self.size = None if width is None else (width, height)
        self.resize_mode = resize_mode

        chosen = self.categories if category == "all" else (category,)
        listed = (fields for name in chosen for fields in self._read_items(name))
        self.items = self._named([Item(index, *fields) for index, fields in enumerate(listed)])
        if twice := _repeated(item.key for item in self.items):
            raise ValueError(f"The pairs files of {self.root} name {twice[0]} twice.")
        self.captions = read_captions(captions) if isinstance(captions, (str, Path)) else captions
        if self.captions is not None:
            self.require_unique_ids()
            self._report_missing_captions()

    @abstractmethod
    def _read_items(self, category: str) -> Iterator[tuple]:
        """The fields of `Item` after the index, in the order of the list."""

    @abstractmethod
    def _garment_from_label_map(self, item: Item) -> GarmentMask:
        """The garment's mask, at the label map's own size."""

    @abstractmethod
    def joints_file(self, item: Item) -> Path:
        """Where the dataset has the joints of the item's person."""

    @property
    def without_caption(self) -> list[Item]:
        """Items that have no caption, not even an empty one."""
        return [item for item in self.items if item.id not in (self.captions or {})]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        """
        Raises:
            FileNotFoundError: A picture or label map is missing.
            ValueError: One is unreadable, or shows no such garment.
        """
        item = self.items[index]
        person = garment = mask = masked = None
        if self.load & {"person", "masked_image"}:
            person = open_picture(item.person)
        if self.load & {"mask", "masked_image"}:
            mask = self._fit_mask(item, person)
        if person is not None:
            person = self._fit(person)
        if "masked_image" in self.load:
            masked = masked_image(person, mask)
        if "garment" in self.load:
            garment = self._fit(open_picture(item.garment))
        return Sample(
            item,
            person=person if "person" in self.load else None,
            garment=garment,
            mask=mask if "mask" in self.load else None,
            masked_image=masked,
            caption=None if self.captions is None else self.captions.get(item.id),
        )

    def require_unique_ids(self) -> None:
        """
        Raises:
            ValueError: Two categories share an item id, so their captions, which are keyed by id, would be mixed up.
        """
        if shared := _repeated(item_id for item_id, _ in {(item.id, item.category) for item in self.items}):
            raise ValueError(
                f"Item {shared[0]} of {self.root} is in several categories, but captions are keyed by item: "
                "choose one category."
            )

    def garment_pixels(self, item: Item) -> np.ndarray:
        """(H, W) bool, at the label map's or generated mask's own size.

        Raises:
            FileNotFoundError: There is neither.
            ValueError: Unreadable, or no such garment in it.
        """
        if self.mask_dir is not None:
            try:
                return np.asarray(open_mask(generated_mask_path(self.mask_dir, item))) > 0
            except FileNotFoundError:
                pass  # a folder may have masks for some items only
        garment = self._garment_from_label_map(item)
        if garment.note is not None:
            logger.warning("%s: %s", item.label_map, garment.note)
        return garment.mask

    def label_map(self, item: Item) -> np.ndarray:
        """(H, W) uint8, the class of every pixel of the photo as ids of `labels`.

        Raises:
            FileNotFoundError: There is none.
            ValueError: Unreadable.
        """
        path = item.label_map
        if self.label_map_dir is not None:
            generated = generated_label_map_path(self.label_map_dir, item)
            path = generated if generated.is_file() else path
        return open_label_map(path, self.label_map_name, len(self.labels))

    def joints(self, item: Item) -> Joints | None:
        """The joints of the item's person, or None where neither the dataset nor `joints_dir` has any.

        Raises:
            ValueError: The file is damaged, or nobody is in it.
        """
        paths = [self.joints_file(item)]
        if self.joints_dir is not None:
            paths.append(generated_joints_path(self.joints_dir, item))
        return next((read_joints(path) for path in paths if path.is_file()), None)

    def has_joints(self, item: Item) -> bool:
        """Whether the dataset itself has joints of the item's person."""
        return self.joints_file(item).is_file()

    def _named(self, items: list[Item]) -> list[Item]:
        """The items, with whole stems as ids in categories where the published ids are not unique."""
        garments: dict[tuple[str, str], set[str]] = {}
        for item in items:
            garments.setdefault((item.category, item.id), set()).add(item.garment_stem)
        shared = {category: sorted(names) for (category, _), names in garments.items() if len(names) > 1}
        for category, names in shared.items():
            some = " and ".join(names[:2])
            logger.warning(
                "%s garments of %s, such as %s, share their name up to the first _: their ids are whole file names",
                *(category, self.root, some),
            )
        return [replace(item, whole_stem=item.category in shared) for item in items]

    def _report_missing_captions(self) -> None:
        if self.without_caption:
            ids = [item.id for item in self.without_caption]
            some = ", ".join([*ids[:5], "…"] if len(ids) > 5 else ids)
            logger.warning("%d of %d items have no caption: %s", len(ids), len(self), some)

    def _fit(self, picture: Image.Image) -> Image.Image:
        return picture if self.size is None else fit_picture(picture, *self.size, self.resize_mode)

    def _fit_mask(self, item: Item, person: Image.Image | None) -> Image.Image:
        mask = Image.fromarray(shape_mask(self.garment_pixels(item), self.mask_type))
        mask = mask.convert("L")
        if person is not None and mask.size != person.size:
            if not same_shape(mask.size, person.size):
                raise ValueError(
                    f"The mask of {item.person} is {mask.width}x{mask.height}; it needs the proportions of the upright "
                    f"photo, {person.width}x{person.height}."
                )
            mask = mask.resize(person.size, Image.Resampling.NEAREST)
        if self.size is None:
            return mask
        return fit_picture(mask, *self.size, self.resize_mode, fill=0, resample=Image.Resampling.NEAREST)

    def _read_pairs(self, path: Path) -> list[tuple[str, str]]:
        """The lines of a pairs file, "person garment"."""
        try:
            return read_pairs(path)
        except FileNotFoundError:
            raise FileNotFoundError(f"There is no pairs file {path}; expected {self.layout}.") from None


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]

"""The settings of a run over a split of a dataset, with their defaults; light, because `--help` reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from temu_vtoff.datasets import MASK_TYPES, ORDERS, PHASES
from temu_vtoff.errors import ArgumentError, check_choice, check_least

MISSING, ALL = "missing", "all"  # masks or captions to make: those that items lack, or all


@dataclass(frozen=True)
class DatasetTask:
    """Pictures for a split of a dataset, by any model.

    Attributes:
        dataset_name: One of `temu_vtoff.datasets.DATASETS`.
        dataset_root: Folder of the dataset; nothing is written there.
        output_dir: Folder for pictures and manifest.
        phase: "train" or "test".
        order: "paired", or "unpaired", where the garment is another one than the person wears.
        category: A category of the dataset, or "all".
        limit: Largest number of items of each category.
        segment: Use the segmenter: "missing" for items without label map, or "all".
        seed: Random seed of the run; each item's own seed is derived from it.
        num_workers: Number of processes that read pictures.

    Raises:
        ArgumentError: A value that is not one of the choices.
    """

    dataset_name: str
    dataset_root: Path
    output_dir: Path
    phase: str = "test"
    order: str = "paired"
    category: str = ALL
    limit: int | None = None
    segment: str | None = None
    seed: int = 0
    num_workers: int = 2

    def __post_init__(self) -> None:
        check_choice("phase", self.phase, PHASES)
        check_choice("order", self.order, ORDERS)
        check_choice("segment", self.segment, (None, MISSING, ALL))
        check_least("limit", self.limit)


@dataclass(frozen=True)
class TryOffTask(DatasetTask):
    """Product pictures of what the persons wear.

    Attributes:
        mask_dir: Folder of masks made earlier; with `segment` folder for the masks, by default `output_dir`/masks.
        mask_type: "fine", "bounding_box" or "mask"; see `temu_vtoff.datasets.masks.shape_mask`.
        caption: Make captions of the photos: "missing" for items without caption, or "all".
        caption_file: JSON file of captions, `{item id: [caption]}`.
        text_features_dir: Folder of precomputed embeddings of captions; missing ones are encoded.
        image_features_dir: Folder of precomputed embeddings of photos; missing ones are encoded.

    Raises:
        ArgumentError: A value that is not one of the choices, or no source of captions.
    """

    mask_dir: Path | None = None
    mask_type: str = "fine"
    caption: str | None = None
    caption_file: Path | None = None
    text_features_dir: Path | None = None
    image_features_dir: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("mask_type", self.mask_type, MASK_TYPES)
        check_choice("caption", self.caption, (None, MISSING, ALL))
        if self.caption is self.caption_file is self.text_features_dir is None:
            raise ArgumentError("Give {caption_file}, or {caption} to have captions made.", "caption_file", "caption")

    @property
    def masks(self) -> Path | None:
        """The folder of masks made by the segmenter."""
        return self.output_dir / "masks" if self.mask_dir is None and self.segment is not None else self.mask_dir


@dataclass(frozen=True)
class TryOnTask(DatasetTask):
    """The persons in the list's garments.

    Attributes:
        no_paste: Write the generated pictures instead of pasting them into the photos.
    """

    no_paste: bool = False

    @property
    def label_maps(self) -> Path | None:
        """The folder of label maps made by the segmenter."""
        return None if self.segment is None else self.output_dir / "label_maps"

    @property
    def joints(self) -> Path:
        """The folder of joints estimated where the dataset has none."""
        return self.output_dir / "keypoints"

"""What a run over a split of a dataset is asked for, with its defaults; light enough to be read by `--help`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from temu_vtoff.datasets import MASK_TYPES, ORDERS, PHASES
from temu_vtoff.errors import ArgumentError

MISSING, ALL = "missing", "all"  # of masks and captions: make those that the items lack, or all


@dataclass(frozen=True)
class DatasetTask:
    """Product pictures for a split of a dataset.

    Attributes:
        dataset_name: One of `temu_vtoff.datasets.DATASETS`.
        dataset_root: Nothing is written there.
        output_dir: Where pictures and manifest go.
        phase: "train" or "test".
        order: "paired", or "unpaired": captions are then of another garment than the person wears.
        category: One of the dataset's, or "all".
        limit: Only the first so many items of each category.
        segment: Make masks with the segmenter: "missing" for items without label map, or "all".
        mask_dir: Masks made earlier. With `segment` where they go; `output_dir`/masks when left open.
        mask_type: "fine", "bounding_box" or "mask"; see `temu_vtoff.datasets.masks.shape_mask`.
        caption: Make captions of the photos: "missing" for items without caption, or "all".
        caption_file: Captions, JSON `{item id: [caption]}`.
        text_features_dir: Embeddings of captions made earlier; the rest is encoded.
        image_features_dir: Embeddings of photos made earlier; the rest is encoded.
        seed: Random seed; each item's own comes from it and the item's id.
        num_workers: Processes that read pictures.

    Raises:
        ArgumentError: A value that is none of the choices, or nowhere to take captions from.
    """

    dataset_name: str
    dataset_root: Path
    output_dir: Path
    phase: str = "test"
    order: str = "paired"
    category: str = ALL
    limit: int | None = None
    segment: str | None = None
    mask_dir: Path | None = None
    mask_type: str = "fine"
    caption: str | None = None
    caption_file: Path | None = None
    text_features_dir: Path | None = None
    image_features_dir: Path | None = None
    seed: int = 0
    num_workers: int = 2

    def __post_init__(self) -> None:
        for name, choices in (
            ("phase", PHASES),
            ("order", ORDERS),
            ("mask_type", MASK_TYPES),
            ("segment", (None, MISSING, ALL)),
            ("caption", (None, MISSING, ALL)),
        ):
            value = getattr(self, name)
            if value not in choices:
                offered = ", ".join(choice for choice in choices if choice is not None)
                raise ArgumentError(f"{{{name}}} is {value!r}; choose one of {offered}.", name)
        if self.limit is not None and self.limit < 1:
            raise ArgumentError(f"{{limit}} is {self.limit}; give at least 1.", "limit")
        if self.caption is self.caption_file is self.text_features_dir is None:
            raise ArgumentError("Give {caption_file}, or {caption} to have captions made.", "caption_file", "caption")

    @property
    def masks(self) -> Path | None:
        """Where generated masks lie."""
        return self.output_dir / "masks" if self.mask_dir is None and self.segment is not None else self.mask_dir

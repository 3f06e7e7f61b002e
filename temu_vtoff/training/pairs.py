"""A data set of pairs, read many items at a time, in threads; damaged pictures are passed over."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from temu_vtoff.datasets import Sample, SampleBatch, TryOffDataset, open_dataset, stack_samples
from temu_vtoff.datasets.base import LOADABLE
from temu_vtoff.datasets.captions import read_captions
from temu_vtoff.training.step_sampler import shuffled

logger = logging.getLogger(__name__)

THREADS = 4
MAX_DAMAGED = 20  # in a row: then it is not a picture that is damaged, but the data set


def open_pairs(
    name: str,
    root: str | Path,
    phase: str,
    size: tuple[int, int],
    category: str = "all",
    caption_files: Sequence[str | Path] = (),
    mask_dir: str | Path | None = None,
    correspondence_dir: str | Path | None = None,
    with_mirrored: bool = False,
) -> Pairs:
    """The pairs of a data set; those of the test split in a shuffled order, so that its first ones are a fair sample.

    Args:
        name: "dresscode" or "vitonhd".
        root: The data set's folder.
        phase: "train" or "test".
        size: Width and height of the pictures, in pixels.
        category: One of the data set's, or "all".
        caption_files: Read one after the other; items without caption have the empty one.
        mask_dir: Masks that SegCloth.py made; items without one have their label map's.
        correspondence_dir: What python -m drawn_people --correspondences wrote.
        with_mirrored: As for `Pairs`.

    Raises:
        FileNotFoundError: Something of the data set is missing, or the folder of masks or correspondences.
    """
    if correspondence_dir is not None and not Path(correspondence_dir).is_dir():
        raise FileNotFoundError(
            f"There is no folder of correspondences {correspondence_dir}; "
            "python -m drawn_people --correspondences makes one, truth/correspondences."
        )
    if mask_dir is not None and not Path(mask_dir).is_dir():
        raise FileNotFoundError(f"There is no folder of masks {mask_dir}; SegCloth.py --out_dir makes one.")
    captions = {item: text for path in caption_files for item, text in read_captions(path).items()}
    dataset = open_dataset(
        name,
        root,
        phase=phase,
        category=category,
        load=LOADABLE,
        captions=captions if caption_files else None,
        mask_dir=mask_dir,
        correspondence_dir=correspondence_dir,
        width=size[0],
        height=size[1],
    )
    return Pairs(dataset, shuffled(len(dataset), seed=0) if phase == "test" else None, with_mirrored)


class Pairs:
    """Photo, mask, greyed photo, product picture and caption of a data set's items.

    Args:
        dataset: Opened with a width and a height, loading all four pictures.
        order: The items wanted, in this order; all in their own when absent.
        with_mirrored: After these come the same once more, with left and right exchanged.
    """

    def __init__(self, dataset: TryOffDataset, order: Sequence[int] | None = None, with_mirrored: bool = False) -> None:
        self.dataset = dataset
        self.order = list(order) if order is not None else list(range(len(dataset)))
        self.first_mirrored = len(self.order)
        if with_mirrored:
            self.order *= 2
        known = dataset.captions if dataset.captions is not None else {}
        self.captions = [known.get(dataset.items[index].id) or "" for index in self.order]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, items: Sequence[int]) -> SampleBatch:
        """
        Raises:
            ValueError: Many in a row can't be read.
        """
        with ThreadPoolExecutor(THREADS) as threads:
            return stack_samples(list(threads.map(self._read, items)))

    def _read(self, item: int) -> Sample:
        """The item, or the next that can be read."""
        for place in range(item, item + MAX_DAMAGED):
            place %= len(self)
            try:
                sample = self.dataset[self.order[place]]
                return sample.mirrored() if place >= self.first_mirrored else sample
            except (ValueError, FileNotFoundError) as error:
                logger.warning("Passed over: %s", error)
                failure = error
        raise ValueError(f"{MAX_DAMAGED} items in a row can't be read, the last one because: {failure}")

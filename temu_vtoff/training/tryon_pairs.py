"""The training pairs of try-on: persons, what of them is repainted, and the garment that they wear.

Letters: B items, H W picture size.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from PIL import Image, ImageOps
from torchvision.transforms.functional import to_tensor

from temu_vtoff.datasets import Item, TryOffDataset, open_dataset
from temu_vtoff.pictures import fit_picture
from temu_vtoff.segmentation.masks import mask_picture
from temu_vtoff.training.pairs import THREADS, PairDataset
from temu_vtoff.tryon.pose_picture import pose_picture
from temu_vtoff.tryon.region import region_to_repaint


@dataclass(frozen=True)
class FittingSample:
    """One item at the training's size.

    Attributes:
        person: RGB, in the garment.
        garment: RGB, the product picture.
        mask: L, 255 where the person is repainted.
        pose: RGB, the pose picture; None where the joints aren't known.
    """

    item: Item
    person: Image.Image
    garment: Image.Image
    mask: Image.Image
    pose: Image.Image | None


@dataclass(frozen=True)
class FittingBatch:
    """A batch of samples.

    Attributes:
        items: Where they come from.
        person: (B, 3, H, W) in [0, 1].
        garment: (B, 3, H, W) in [0, 1].
        mask: (B, 1, H, W) of 0 and 1.
        pose: (B, 3, H, W) in [0, 1], black where there is none.
        has_pose: (B,) bool.
    """

    items: list[Item]
    person: torch.Tensor
    garment: torch.Tensor
    mask: torch.Tensor
    pose: torch.Tensor
    has_pose: torch.Tensor


class FittingPairs(PairDataset):
    """Persons with the garments that they wear, so that the photo itself is what is to be made.

    Args:
        dataset: Opened by `open_fittings`.
        tight: Repaint closely around garment and limbs, instead of the rectangle around both.
    """

    def __init__(self, dataset: TryOffDataset, tight: bool = False) -> None:
        super().__init__(dataset)
        self.tight = tight

    def read(self, position: int) -> FittingSample:
        index = self.order[position]
        sample, item = self.dataset[index], self.dataset.items[index]
        labels, joints = self.dataset.label_map(item), self.dataset.joints(item)
        height, width = labels.shape
        joints = None if joints is None else joints.at(width, height)
        region = region_to_repaint(labels, item.category, joints=joints, tight=self.tight, labels=self.dataset.labels)
        size, nearest = self.dataset.size, Image.Resampling.NEAREST
        mask = fit_picture(mask_picture(region), *size, self.dataset.resize_mode, fill=0, resample=nearest)
        return FittingSample(item, sample.person, sample.garment, mask, self.pose(index))

    def poses(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """`FittingBatch.pose` and `has_pose` of items of the data set."""
        with ThreadPoolExecutor(THREADS) as threads:
            return _stack_poses(list(threads.map(self.pose, indices)), self.dataset.size)

    def pose(self, index: int) -> Image.Image | None:
        """The pose picture of an item of the data set, at the training's size; None where the joints aren't known."""
        item = self.dataset.items[index]
        joints = self.dataset.joints(item)
        if joints is None:
            return None
        with Image.open(item.person) as photo:
            shape = ImageOps.exif_transpose(photo).size
        width, height = self.dataset.size
        scale = min(width / shape[0], height / shape[1])
        inner = (round(shape[0] * scale), round(shape[1] * scale))
        drawn = pose_picture(joints.at(*shape).at(*inner), *inner)
        return fit_picture(drawn, width, height, self.dataset.resize_mode, fill=(0, 0, 0))

    def stack(self, samples: Sequence[FittingSample]) -> FittingBatch:
        """The samples as one batch."""
        pose, has_pose = _stack_poses([sample.pose for sample in samples], self.dataset.size)
        return FittingBatch(
            [sample.item for sample in samples],
            person=torch.stack([to_tensor(sample.person) for sample in samples]),
            garment=torch.stack([to_tensor(sample.garment) for sample in samples]),
            mask=torch.stack([(to_tensor(sample.mask) > 0.5).float() for sample in samples]),
            pose=pose,
            has_pose=has_pose,
        )


def _stack_poses(poses: Sequence[Image.Image | None], size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    black = Image.new("RGB", size)
    pictures = torch.stack([to_tensor(black if pose is None else pose) for pose in poses])
    return pictures, torch.tensor([pose is not None for pose in poses])


def open_fittings(name: str, root: str, phase: str, size: tuple[int, int], category: str = "all") -> TryOffDataset:
    """One split of a data set, opened for `FittingPairs`; arguments and errors as for `pairs.open_split`."""
    load = ("person", "garment")
    return open_dataset(name, root, phase=phase, category=category, load=load, width=size[0], height=size[1])

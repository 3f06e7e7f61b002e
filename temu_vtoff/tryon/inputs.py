"""Checks what try-on is given and makes tensors of one size and batch of it.

Letters: B pairs of garment and person, H W picture size.
"""

from __future__ import annotations

from dataclasses import dataclass

import PIL.Image
import torch

from temu_vtoff.hub.sizes import WorkingSize
from temu_vtoff.pictures import fit_picture, open_picture, to_mask
from temu_vtoff.tryoff.inputs import (
    Pictures,
    check_batch,
    choose_size,
    mask_tensor,
    picture_tensor,
    stacked,
    stacked_masks,
)

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True)
class Pairs:
    """B garments and persons at one size.

    Attributes:
        garment: (B, 3, H, W) in [0, 1].
        person: (B, 3, H, W) in [0, 1], grey where it is to be repainted.
        mask: (B, 1, H, W) in [0, 1], 1 where it is to be repainted.
        pose: (B, 3, H, W) in [0, 1], or None.
    """

    garment: torch.Tensor
    person: torch.Tensor
    mask: torch.Tensor
    pose: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.person)


def read_pairs(
    garment: Pictures,
    person: Pictures,
    mask: Pictures,
    *,
    pose: Pictures | None,
    working_size: WorkingSize,
    width: int | None,
    height: int | None,
) -> Pairs:
    """All at one size: the given one, else that of the person's tensor, else the model's own.

    Raises:
        ValueError: Sizes, channels, ranges or numbers that don't fit.
    """
    garment, person, mask = stacked(garment), stacked(person), stacked_masks(mask)
    size = choose_size(working_size, person, width, height)
    garment, person = (picture_tensor(_padded(pictures, size, WHITE), *size) for pictures in (garment, person))
    mask = mask_tensor(_padded_masks(mask, size), *size)
    if pose is not None:
        pose = picture_tensor(_padded(stacked(pose), size, BLACK), *size)
    check_batch(len(person), garment=garment, mask=mask, pose=pose)
    return Pairs(garment, torch.where(mask < 0.5, person, 0.5), mask, pose)


def _padded(
    pictures: list[PIL.Image.Image] | torch.Tensor, size: tuple[int, int], fill: tuple[int, int, int]
) -> list[PIL.Image.Image] | torch.Tensor:
    """PIL pictures upright and padded to the size, tensors as they are."""
    if isinstance(pictures, torch.Tensor):
        return pictures
    return [fit_picture(open_picture(picture), *size, "pad", fill=fill) for picture in pictures]


def _padded_masks(
    masks: list[PIL.Image.Image] | torch.Tensor, size: tuple[int, int]
) -> list[PIL.Image.Image] | torch.Tensor:
    if isinstance(masks, torch.Tensor):
        return masks
    nearest = PIL.Image.Resampling.NEAREST
    return [fit_picture(to_mask(mask), *size, "pad", fill=0, resample=nearest) for mask in masks]

"""What callers give the pipeline, as tensors of one size and batch, or one sentence on why not.

Letters: B photos, H W picture size.
"""

from __future__ import annotations

from collections.abc import Sequence

import PIL.Image
import torch
from diffusers.image_processor import VaeImageProcessor

from temu_vtoff.pictures import open_picture, to_mask

Pictures = PIL.Image.Image | Sequence[PIL.Image.Image] | torch.Tensor

_PICTURES = VaeImageProcessor(do_normalize=False, do_convert_rgb=True)
_MASKS = VaeImageProcessor(do_normalize=False, do_convert_grayscale=True, resample="nearest")


def picture_tensor(image: Pictures, width: int, height: int) -> torch.Tensor:
    """(B, 3, H, W) float32 in [0, 1]; PIL pictures are turned upright, tensors must be in [0, 1]."""
    if isinstance(image, PIL.Image.Image):
        image = [image]
    if not isinstance(image, torch.Tensor):
        image = [open_picture(item) for item in image]
    return _in_range(_PICTURES.preprocess(image, height, width), "image", 3)


def mask_tensor(mask: Pictures, width: int, height: int) -> torch.Tensor:
    """(B, 1, H, W) float32 in [0, 1], resized to the nearest."""
    if not isinstance(mask, torch.Tensor):
        mask = [to_mask(item) for item in ([mask] if isinstance(mask, PIL.Image.Image) else mask)]
    return _in_range(_MASKS.preprocess(mask, height, width), "mask", 1)


def one_each(texts: str | Sequence[str] | None, count: int, name: str) -> list[str]:
    """One text for each of `count` photos: a single one serves all, none is the empty text."""
    if texts is None or isinstance(texts, str):
        return [texts or ""] * count
    if len(texts) != count:
        raise ValueError(f"{name} has {len(texts)} texts for {count} photos; give one, or one each.")
    return list(texts)


def check_batch(count: int, **tensors: torch.Tensor | None) -> None:
    """
    Raises:
        ValueError: One of the tensors given has another batch size than `count` photos.
    """
    for name, tensor in tensors.items():
        if tensor is not None and len(tensor) != count:
            raise ValueError(f"{name} holds {len(tensor)} for {count} photos; give one each.")


def _in_range(tensor: torch.Tensor, name: str, channels: int) -> torch.Tensor:
    tensor = tensor.float()
    if tensor.shape[1] != channels:
        raise ValueError(f"{name} must have {channels} channels, (B, {channels}, H, W); got {tuple(tensor.shape)}.")
    low, high = tensor.aminmax()
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(f"{name} must lie in [0, 1]; its values go from {low:.3g} to {high:.3g}.")
    return tensor

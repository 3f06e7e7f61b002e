"""What callers give the pipeline, as tensors of one size and batch, or one sentence on why not.

Letters: B photos, H W picture size.
"""

from collections.abc import Sequence

import PIL.Image
import torch
from diffusers.image_processor import VaeImageProcessor

from temu_vtoff.pictures import open_picture

Pictures = PIL.Image.Image | Sequence[PIL.Image.Image] | torch.Tensor

_PICTURES = VaeImageProcessor(do_normalize=False, do_convert_rgb=True)
_MASKS = VaeImageProcessor(do_normalize=False, do_convert_grayscale=True, resample="nearest")


def picture_size(
    image: Pictures, width: int | None, height: int | None, default: tuple[int, int], multiple: int
) -> tuple[int, int]:
    """The width and height to work at: as given, else a tensor's own, else the default.

    Raises:
        ValueError: Not a multiple of `multiple`; the message says the nearest that is.
    """
    own = (image.shape[-1], image.shape[-2]) if isinstance(image, torch.Tensor) else default
    width = width if width is not None else own[0]
    height = height if height is not None else own[1]
    check_size(width, height, multiple)
    return width, height


def check_size(width: int, height: int, multiple: int) -> None:
    """
    Raises:
        ValueError: Width or height is not a positive multiple of `multiple`; the message says the nearest that is.
    """
    for name, value in (("width", width), ("height", height)):
        if value < multiple or value % multiple:
            nearest = max(multiple, round(value / multiple) * multiple)
            raise ValueError(f"{name} {value} is not a multiple of {multiple}; the nearest that is, is {nearest}.")


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
        mask = [item.convert("L") for item in ([mask] if isinstance(mask, PIL.Image.Image) else mask)]
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

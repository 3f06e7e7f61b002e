"""ComfyUI's tensors and the library's pictures.

Letters: B batch, H height, W width, C channels (3, or 4 with opacity). All values are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from temu_vtoff.pictures import same_shape

from .failing import NodeError


def to_pictures(image: torch.Tensor, what: str = "image") -> list[Image.Image]:
    """IMAGE (B, H, W, C) -> RGB or RGBA pictures.

    Raises:
        NodeError: The batch is empty, or no IMAGE.
    """
    if image.ndim != 4 or image.shape[-1] not in (3, 4):
        raise NodeError(f"{what} has the shape {tuple(image.shape)}; an IMAGE is (batch, height, width, 3).")
    if 0 in image.shape:
        raise NodeError(f"{what} is an empty batch: connect at least one picture.")
    return [Image.fromarray(pixels) for pixels in _to_bytes(image)]


def to_masks(mask: torch.Tensor, pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """MASK (B, H, W), or (H, W) -> L pictures, one for each of the pictures; a single mask serves all of them.

    Raises:
        NodeError: Another number of masks, or another shape than the pictures'.
    """
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3 or 0 in mask.shape:
        raise NodeError(f"mask has the shape {tuple(mask.shape)}; a MASK is (batch, height, width).")
    if len(mask) not in (1, len(pictures)):
        raise NodeError(f"mask holds {len(mask)} masks for {len(pictures)} pictures: give one, or as many.")
    height, width = mask.shape[1:]
    wanted = pictures[0].size
    if not same_shape((width, height), wanted):
        raise NodeError(f"mask is {width}x{height}, the picture {wanted[0]}x{wanted[1]}: give a mask of its shape.")
    masks = [Image.fromarray(pixels) for pixels in _to_bytes(mask)]
    return masks * len(pictures) if len(masks) == 1 else masks


def to_batch(pictures: Sequence[Image.Image]) -> torch.Tensor:
    """Pictures of one size and mode -> IMAGE (B, H, W, C), or of mode L -> MASK (B, H, W).

    Raises:
        NodeError: They have several sizes.
    """
    sizes = sorted({picture.size for picture in pictures})
    if len(sizes) > 1:
        shown = " and ".join(f"{width}x{height}" for width, height in sizes[:2])
        raise NodeError(f"the pictures come out in several sizes, {shown}: give a canvas, or one picture at a time.")
    return torch.stack([torch.from_numpy(np.array(picture, np.float32) / 255) for picture in pictures])


def _to_bytes(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().clamp(0, 1).mul(255).round().byte().numpy()

"""What the built-in captioner learns from: photos and product pictures, with their label maps.

Letters: B pictures, H W size.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.transforms.functional import to_tensor

from builtin_training.captioner import PICTURE_SIZE
from builtin_training.data import Item
from temu_vtoff.metrics.silhouette import silhouettes
from temu_vtoff.segmentation.labels import ATR

MAX_CUT = 10  # pixels that may be cut off at each border


def open_pictures(
    items: list[Item], worn: list[bool], generator: torch.Generator | None = None
) -> tuple[list[Image.Image], torch.Tensor]:
    """Photo or product picture of each item, in the captioner's size.

    Args:
        generator: When given, flips the pictures and cuts their borders at random.

    Returns:
        B pictures, and their label maps (B, H, W) uint8; a product picture's garment has its category's first label.
    """

    def vary(layer: Image.Image, cuts: list[int], flip: bool, resample: Image.Resampling) -> Image.Image:
        left, top, right, bottom = cuts
        box = (left, top, layer.width - right, layer.height - bottom)
        layer = layer.resize(PICTURE_SIZE, resample, box)
        return ImageOps.mirror(layer) if flip else layer

    pictures, label_maps = [], []
    for item, is_worn in zip(items, worn, strict=True):
        cuts, flip = [0, 0, 0, 0], False
        if generator is not None:
            cuts = torch.randint(MAX_CUT + 1, (4,), generator=generator).tolist()
            flip = bool(torch.rand((), generator=generator) < 0.5)
        picture = item.open_photo() if is_worn else item.open_product()
        pictures.append(vary(picture, cuts, flip, Image.Resampling.BICUBIC))
        label_map = Image.fromarray(item.read_labels() if is_worn else product_labels(picture, item.category))
        label_maps.append(np.asarray(vary(label_map, cuts, flip, Image.Resampling.NEAREST)))
    return pictures, torch.from_numpy(np.stack(label_maps))


def product_labels(product: Image.Image, category: str) -> np.ndarray:
    """(H, W) uint8: the category's first label on the garment, 0 around it."""
    garment = silhouettes(to_tensor(product)[None])[0].numpy()
    return garment.astype(np.uint8) * np.uint8(ATR.of_category(category)[0])

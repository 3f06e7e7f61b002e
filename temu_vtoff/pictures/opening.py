"""Opening any picture file: upright, in RGB, 8 bits."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


def open_picture(source: str | Path | Image.Image) -> Image.Image:
    """The picture, upright (EXIF rotation applied) and in RGB.

    Args:
        source: A path, or a PIL picture of any mode. Transparent parts come out white; 16-bit and float greys are
            scaled to 8 bits.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a picture, a damaged one, or one too large for Pillow's decompression limit.
    """
    if isinstance(source, Image.Image):
        return _to_rgb(ImageOps.exif_transpose(source))
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"There is no picture at {path}.")
    try:
        with Image.open(path) as image:
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} can't be read as a picture: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit and 32-bit greys: Pillow's convert would clip them
        grey = np.asarray(image, dtype=np.float32)
        if grey.max(initial=0) > 255:
            grey = grey / 257
        return Image.fromarray(grey.clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def open_mask(source: str | Path | Image.Image, photo: Image.Image) -> Image.Image:
    """A mask drawn for a photo, at the photo's size.

    Args:
        source: Of the upright photo's aspect ratio; light (128 and more) on the garment.
        photo: Upright.

    Returns:
        L, 0 or 255.

    Raises:
        ValueError: Another aspect ratio, or nothing light in it.
    """
    mask = open_picture(source).convert("L")
    if abs(mask.width * photo.height / (mask.height * photo.width) - 1) > 0.02:
        raise ValueError(
            f"the mask is {mask.width}x{mask.height}, the photo {photo.width}x{photo.height}: give one of its shape."
        )
    mask = mask.resize(photo.size, Image.Resampling.NEAREST).point(lambda level: 255 if level >= 128 else 0)
    if mask.getbbox() is None:
        raise ValueError("the mask is black all over: the garment must be white in it.")
    return mask

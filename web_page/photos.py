"""Uploads: which files are taken, and photos and masks between their own size, the model's and the screen's."""

from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from temu_vtoff.pictures import open_mask, open_picture

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")  # Pillow's names: the rest of its decoders stay out of reach
SCREEN = (1024, 768)  # pixels: pictures are shown within this
BRUSH = (230, 57, 110)  # colour of the mask on the photo
VEIL = 150  # of 255: opacity of the mask, so that the photo shines through; half of it counts as mask


def open_upload(path: str | Path, megapixels: float) -> Image.Image:
    """The photo, upright and in RGB; errors name the file without its folder.

    Args:
        megapixels: The most that is taken. It is read off the file's head, before anything is decoded.

    Raises:
        ValueError: No picture, a damaged one, or one with too many pixels.
    """
    path = Path(path)
    _check_head(path, megapixels)
    try:
        return open_picture(path)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(str(error).replace(str(path), path.name)) from error


def open_uploaded_mask(path: str | Path, photo: Image.Image, megapixels: float) -> Image.Image:
    """As `temu_vtoff.pictures.open_mask`, under the limits of `open_upload`."""
    path = Path(path)
    _check_head(path, megapixels)
    try:
        return open_mask(path, photo)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(str(error).replace(str(path), path.name)) from error


def on_screen(picture: Image.Image) -> Image.Image:
    """The picture as large as `SCREEN` lets it be."""
    return ImageOps.contain(picture, SCREEN)


def to_editor(photo: Image.Image, mask: Image.Image | None) -> dict[str, Any]:
    """What `gr.ImageEditor` shows: the photo, and the mask as a layer of paint on it."""
    background = on_screen(photo)
    paint = Image.new("RGBA", background.size, (*BRUSH, 0))
    if mask is not None:
        alpha = mask.resize(background.size, Image.Resampling.NEAREST).point(lambda level: VEIL if level else 0)
        paint.putalpha(alpha)
    shown = Image.alpha_composite(background.convert("RGBA"), paint)
    return {"background": background, "layers": [paint], "composite": shown}


def from_editor(value: dict[str, Any] | None) -> Image.Image:
    """The mask as painted, L, 0 or 255, of the photo's shape.

    Raises:
        ValueError: Nothing is painted.
    """
    alphas = [layer.getchannel("A") for layer in (value or {}).get("layers") or []]
    mask = None
    for alpha in alphas:
        mask = alpha if mask is None else ImageChops.lighter(mask, alpha.resize(mask.size))
    mask = mask and mask.point(lambda level: 255 if level >= VEIL // 2 else 0)
    if mask is None or mask.getbbox() is None:
        raise ValueError("the mask is empty: paint over the garment, or choose another category.")
    return mask


def _check_head(path: Path, megapixels: float) -> None:
    try:
        with Image.open(path, formats=FORMATS) as head:
            found = head.width * head.height / 1e6
    except Image.DecompressionBombError:
        found = float("inf")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{path.name} can't be read as a picture: give a JPEG, PNG, WebP, BMP or TIFF file."
        ) from error
    if found > megapixels:
        raise ValueError(
            f"{path.name} has too many pixels: at most {megapixels:g} megapixels are taken, make it smaller."
        )

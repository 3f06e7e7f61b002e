"""Uploads: which files are taken, and photos and masks between their own size, the model's and the screen's."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from temu_vtoff.pictures import open_mask, open_picture
from temu_vtoff.pictures.formats import is_readable
from web_page.messages import Mistake

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")  # Pillow's names: its other decoders stay out of reach
SHOWN_BY_BROWSERS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "AVIF")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
SCREEN = (768, 1024)  # pixels: pictures are shown within this
MOST_MASK_BYTES = 4 * 2**20  # of a painted mask as text; one of `SCREEN` takes some thousands
PHOTO_STATISTIC_SIZE = (384, 512)
GRAIN = 2  # levels of 255
GRAINY_SHARE = 0.27


def open_upload(path: str | Path, megapixels: float) -> Image.Image:
    """The photo, upright and in RGB; errors name the file without its folder.

    Args:
        megapixels: The most that is taken. It is read off the file's head, before anything is decoded.

    Raises:
        Mistake: No picture, a damaged one, or one with too many pixels.
    """
    path = Path(path)
    format_of(path, megapixels)
    try:
        return open_picture(path)
    except (ValueError, FileNotFoundError) as error:
        raise Mistake(" ".join(str(error).replace(str(path), path.name).split())) from error


def open_uploaded_mask(path: str | Path, photo: Image.Image, megapixels: float) -> Image.Image:
    """As `temu_vtoff.pictures.open_mask`, under the limits of `open_upload`."""
    path = Path(path)
    format_of(path, megapixels)
    try:
        return open_mask(path, photo)
    except (ValueError, FileNotFoundError) as error:
        raise Mistake(" ".join(str(error).replace(str(path), path.name).split())) from error


def format_of(path: Path, megapixels: float) -> str:
    """Pillow's name of the file's format.

    Raises:
        Mistake: It is none of `FORMATS`, or the picture has too many pixels.
    """
    formats = (*FORMATS, "HEIF") if is_readable(".heic") else FORMATS
    try:
        with Image.open(path, formats=formats) as head:
            found, name = head.width * head.height / 1e6, head.format
    except Image.DecompressionBombError:
        found, name = float("inf"), ""
    except Exception as error:  # whatever a damaged head brings about
        raise Mistake(_unreadable(path)) from error
    if found > megapixels:
        raise Mistake(f"{path.name} has too many pixels: at most {megapixels:g} megapixels are taken, make it smaller.")
    return name


def _unreadable(path: Path) -> str:
    head = path.read_bytes()[:12] if path.is_file() else b""
    if head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS:
        return (
            f"{path.name} is a HEIC photo, which this page can't read: save or export it as JPEG and upload that. An "
            "iPhone takes JPEG photos with Settings > Camera > Formats > Most Compatible."
        )
    return f"{path.name} can't be read as a picture: give a JPEG, PNG, WebP, BMP or TIFF file."


def on_screen(picture: Image.Image) -> Image.Image:
    """The picture as large as `SCREEN` lets it be."""
    return ImageOps.contain(picture, SCREEN)


def to_editor(photo: Image.Image, mask: Image.Image | None, name: str) -> dict[str, Any]:
    """What the mask editor shows: photo and mask as data URLs, the mask opaque where it is painted.

    Args:
        name: Of the photo; comes back with the painted mask.
    """
    background = on_screen(photo)
    shown = {"name": name, "photo": _data_url(background, "JPEG"), "mask": None}
    if mask is not None:
        paint = Image.new("RGBA", background.size, (255, 255, 255, 0))
        paint.putalpha(mask.resize(background.size, Image.Resampling.NEAREST))
        shown["mask"] = _data_url(paint, "PNG")
    return shown


def from_editor(value: dict[str, Any] | None, photo: Image.Image, name: str) -> Image.Image:
    """The mask as painted, L, 0 or 255, of the photo's size.

    Raises:
        Mistake: Nothing is painted, it is another photo's mask, or it has another shape.
    """
    value = value if isinstance(value, dict) else {}
    if value.get("name", name) != name:
        raise Mistake("the mask is still being made: wait for it.")
    text = value.get("mask")
    if not text:
        raise Mistake("the mask is empty: paint over the garment, or choose another one.")
    try:
        head, data = text.split(",", 1)
        if head != "data:image/png;base64" or len(text) > MOST_MASK_BYTES:
            raise ValueError
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True)), formats=("PNG",)) as painted:
            size, shown = painted.size, on_screen(photo).size
            if size != shown:
                raise Mistake(
                    f"the mask is {size[0]}x{size[1]}, the photo {shown[0]}x{shown[1]} on the screen: "
                    "it is another photo's."
                )
            mask = painted.convert("RGBA").getchannel("A").point(lambda level: 255 if level >= 128 else 0)
    except Mistake:
        raise
    except Exception as error:
        raise Mistake("the mask can't be read: paint it again.") from error
    if mask.getbbox() is None:
        raise Mistake("the mask is empty: paint over the garment, or choose another one.")
    return mask.resize(photo.size, Image.Resampling.NEAREST)


def looks_like_a_photograph(picture: Image.Image) -> bool:
    """Whether the picture has the grain of photographs; drawn people are smooth between their outlines.

    The measure is the share of pixels that differ by `GRAIN` levels or more from the median of their neighbours, in
    grey, at 384x512 pixels. It is at most 0.19 on 51 drawn people, 0.26 when those are saved as JPEG of
    quality 75, and from 0.30 to 0.60 on ten of twelve photographs; photographs with large empty parts (0.21, a night
    sky) pass for drawings. So it warns too rarely rather than too often.
    """
    grey = ImageOps.contain(picture.convert("L"), PHOTO_STATISTIC_SIZE, Image.Resampling.BOX)
    smooth = grey.filter(ImageFilter.MedianFilter(3))
    differences = np.abs(np.asarray(grey, dtype=np.int16) - np.asarray(smooth, dtype=np.int16))
    return float((differences >= GRAIN).mean()) > GRAINY_SHARE


def _data_url(picture: Image.Image, format: str) -> str:
    data = io.BytesIO()
    picture.save(data, format, **({"quality": 90} if format == "JPEG" else {}))
    return f"data:image/{format.lower()};base64,{base64.b64encode(data.getvalue()).decode('ascii')}"

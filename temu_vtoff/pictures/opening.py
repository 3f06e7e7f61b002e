"""Opening any picture file: upright, in sRGB, 8 bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from temu_vtoff.errors import reason_of
from temu_vtoff.pictures.colour import to_srgb
from temu_vtoff.pictures.exif import orientation
from temu_vtoff.pictures.formats import HEIF_REMEDY, HEIF_SUFFIXES, register_plugin, silence_libtiff

LONGEST = 100  # largest ratio of the sides; beyond it nothing is left of the short one at a model's size
_TURNS = {  # EXIF orientation -> the transposition that makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(source: str | Path | Image.Image) -> Image.Image:
    """The picture, upright (EXIF orientation applied), in sRGB.

    Args:
        source: A path, or a PIL picture of any mode. Transparent parts come out white; 16-bit, 32-bit and float greys
            are scaled to 8 bits; an embedded colour profile is converted.

    Returns:
        RGB, a new picture without metadata.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a picture, a damaged one, one with too long a side (`LONGEST`), or one too large for Pillow's
            decompression limit.
    """
    with reading(source) as (image, name):
        picture = to_srgb(upright(image))
    if max(picture.size) > LONGEST * min(picture.size):
        raise ValueError(
            f"{name} is {picture.width}x{picture.height} pixels: one side may be at most {LONGEST} times the other."
        )
    return picture


def open_as_is(source: str | Path | Image.Image) -> Image.Image:
    """The picture upright, but in its own mode, with its palette and transparency: for masks and label maps.

    Arguments and errors are those of `open_picture`.
    """
    with reading(source) as (image, _):
        return upright(image)


def picture_size(source: str | Path | Image.Image) -> tuple[int, int]:
    """Width and height of the upright picture; nothing is decoded.

    Arguments and errors are those of `open_picture`.
    """
    with reading(source) as (image, _):
        width, height = image.size
        return (height, width) if orientation(image) >= 5 else (width, height)


@contextmanager
def reading(source: str | Path | Image.Image) -> Iterator[tuple[Image.Image, str]]:
    """Yields the picture, not yet decoded, and its name for messages; errors in the block become one sentence.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Anything else that Pillow raises.
    """
    if isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "")) or "the picture"
    else:
        name = str(source)
        try:
            missing = not Path(source).is_file()
        except (OSError, ValueError):  # a name that no file can have
            missing = True
        if missing:
            raise FileNotFoundError(f"There is no picture at {name}.")
    silence_libtiff()
    try:
        if isinstance(source, Image.Image):
            yield source, name
        else:
            register_plugin(Path(source).suffix)
            with Image.open(source) as image:
                yield image, name
    except UnidentifiedImageError as error:
        reason = "its format is unknown, or its header is damaged"
        if Path(name).suffix.lower() in HEIF_SUFFIXES:
            reason += f"; {HEIF_REMEDY}"
        raise ValueError(f"{name} can't be read as a picture: {reason}.") from error
    except Exception as error:  # Pillow's readers raise all kinds on damaged files
        raise ValueError(f"{name} can't be read as a picture: {reason_of(error)}.") from error


def upright(image: Image.Image) -> Image.Image:
    """An upright copy; of the metadata, only the transparent colour and the colour profile are kept."""
    depth = _grey_depth(image)
    image.load()
    if 0 in image.size:
        raise ValueError(f"it has {image.width}x{image.height} pixels.")
    turn = _TURNS.get(orientation(image))
    turned = image.copy() if turn is None else image.transpose(turn)
    turned.info = {key: image.info[key] for key in ("transparency", "icc_profile") if key in image.info}
    clear = turned.info.get("transparency")
    if isinstance(clear, int) and depth < 8:  # Pillow scales the pixels to 8 bits, but not the transparent level
        turned.info["transparency"] = clear * 255 // (2**depth - 1)
    elif isinstance(clear, tuple) and max(clear) > 255:  # Pillow reads 16-bit colours as 8 bits
        turned.info["transparency"] = tuple(level >> 8 for level in clear)
    elif not isinstance(clear, (int, tuple, bytes)):
        turned.info.pop("transparency", None)
    return turned


def _grey_depth(image: Image.Image) -> int:
    """Bits of a grey PNG that is not decoded yet; 8 for everything else."""
    raw_mode = getattr(getattr(image, "png", None), "im_rawmode", None)
    return {"1": 1, "L;2": 2, "L;4": 4}.get(raw_mode, 8)

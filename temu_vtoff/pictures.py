"""Pictures as people have them: opening any file upright and in RGB, and fitting it to a model's size."""

import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
RESIZE_MODES = ("pad", "crop", "stretch")


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


def list_pictures(folder: str | Path, recursive: bool = False) -> list[Path]:
    """The picture files of a folder, by suffix (`PICTURE_SUFFIXES`), sorted by path, without hidden ones."""
    found = Path(folder).rglob("*") if recursive else Path(folder).iterdir()
    return sorted(
        path
        for path in found
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def find_pictures(paths: Sequence[str | Path]) -> list[Path]:
    """The files named, and the pictures of the folders named.

    Raises:
        ValueError: A folder without pictures.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        inside = list_pictures(path) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"there are no pictures in the folder {path}.")
        found += inside
    return found


def unique_stems(paths: Sequence[Path]) -> list[str]:
    """A name for what is made of each picture: its stem, with the suffix and a number where others share it."""
    shared = Counter(path.stem for path in paths)
    stems: dict[str, None] = {}  # ordered
    for path in paths:
        stem = name = path.stem if shared[path.stem] == 1 else f"{path.stem}_{path.suffix[1:]}"
        number = 2
        while name in stems:
            name, number = f"{stem}_{number}", number + 1
        stems[name] = None
    return list(stems)


def fit_picture(
    image: Image.Image,
    width: int,
    height: int,
    mode: str = "pad",
    fill: int | tuple[int, int, int] = (255, 255, 255),
    resample: Image.Resampling = Image.Resampling.LANCZOS,
) -> Image.Image:
    """The picture at exactly width x height pixels.

    Args:
        image: Any mode; it is kept.
        mode: "pad" keeps all of the picture and fills the border, "crop" fills the frame and cuts what hangs over,
            "stretch" changes the aspect ratio.
        fill: Colour of the border.
        resample: NEAREST for masks and label maps.
    """
    if mode == "stretch":
        return image.resize((width, height), resample)
    if mode == "crop":
        return ImageOps.fit(image, (width, height), resample)
    if mode == "pad":
        return ImageOps.pad(image, (width, height), resample, color=fill)
    raise ValueError(f"resize mode is {mode!r}; choose one of {', '.join(RESIZE_MODES)}.")


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


def save_picture(image: Image.Image, path: str | Path, **options: object) -> Path:
    """Writes a picture under a temporary name and renames it, so that a kill never leaves half a file behind.

    Args:
        path: The suffix chooses the format.
        options: What Pillow's `save` takes for that format.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}{path.suffix}")
    try:
        image.save(temporary, **options)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path

"""Masks as people make them: white on black, painted on a transparent layer, or a hole cut into the photo."""

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from temu_vtoff.pictures.colour import split_alpha
from temu_vtoff.pictures.fitting import same_shape, unfit_picture
from temu_vtoff.pictures.opening import reading, upright

NEARLY_ALL = 0.95  # share of the picture; a mask that covers more is a mistake
PHOTO_SHARE = 0.1  # share of pixels between black, white and the paint; a picture with more is a photo
_COLOURFUL = 64  # smallest difference between the channels of paint; below it a pixel is grey
_DARK, _LIGHT = 64, 191
_SAMPLE = 250_000  # pixels
_TRACE = 0.005  # share of the pixels; less is compression noise

logger = logging.getLogger(__name__)


def to_mask(source: str | Path | Image.Image, *, may_cover_all: bool = False) -> Image.Image:
    """The garment's pixels, as a picture marks them.

    Args:
        source: A path, or a PIL picture of any mode. The garment is light (128 or more), the lighter of two grey
            levels, the colour beside black or white, the paint on a transparent layer, or the hole in a photo.
        may_cover_all: Log no warning about a mask that covers nearly everything.

    Returns:
        L, 0 or 255, upright. A warning is logged when the mask covers nearly everything.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Unreadable, or a photo.
    """
    mask = _marked(source)
    covers_all = may_cover_all and (np.asarray(mask) > 0).mean() > NEARLY_ALL
    if not covers_all and (doubt := mask_doubt(mask, _name(source))) is not None:
        logger.warning(doubt)
    return mask


def open_mask(
    source: str | Path | Image.Image, photo: Image.Image | None = None, *, may_cover_all: bool = False
) -> Image.Image:
    """A mask that a person drew, checked and resized to its photo. Logs a warning when it covers nearly everything.

    Args:
        source: As for `to_mask`.
        photo: The upright photo, with the mask's aspect ratio; None keeps the mask's size.
        may_cover_all: Argument of `to_mask`.

    Returns:
        L, 0 or 255.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Unreadable, a photo, of another aspect ratio, or black all over.
    """
    mask, name = to_mask(source, may_cover_all=may_cover_all), _name(source)
    if photo is not None:
        check_mask_shape(mask.size, photo.size, name)
    check_mask_content(mask.getbbox() is not None, name)
    return mask if photo is None else mask.resize(photo.size, Image.Resampling.NEAREST)


def check_mask_shape(size: tuple[int, int], photo_size: tuple[int, int], name: str) -> None:
    """
    Args:
        size: Width and height of the mask.
        photo_size: Width and height of its upright photo.
        name: The mask's, for the message.

    Raises:
        ValueError: The aspect ratios differ.
    """
    if not same_shape(size, photo_size):
        (width, height), (across, down) = size, photo_size
        raise ValueError(f"{name} is {width}x{height}, the photo {across}x{down}: give a mask of its shape.")


def check_mask_content(has_content: bool, name: str) -> None:
    """
    Raises:
        ValueError: Nothing is marked.
    """
    if not has_content:
        raise ValueError(f"{name} is black all over: the garment must be white in it.")


def mask_doubt(mask: Image.Image, name: str = "the mask") -> str | None:
    """One sentence where a mask (L, 0 or 255) covers nearly everything or seems inverted, otherwise None."""
    marked = np.asarray(mask) > 0
    share = marked.mean()
    if share <= NEARLY_ALL:
        edges = (marked[0], marked[-1], marked[:, 0], marked[:, -1])
        if share > 0.5 and all(edge.all() for edge in edges):
            return f"{name} is white at all edges of the picture: is it inverted? The garment should be white in it."
        return None
    return f"{name} covers {100 * share:.0f}% of the picture: only the garment should be white in it."


def unfit_mask(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The mask of a photo that was padded to the mask's size, as the photo's own: without the border, at `size`."""
    return unfit_picture(mask, size, Image.Resampling.NEAREST)


def _name(source: str | Path | Image.Image) -> str:
    file = getattr(source, "filename", "") if isinstance(source, Image.Image) else source
    return f"the mask {file}" if str(file) else "the mask"


def _marked(source: str | Path | Image.Image) -> Image.Image:
    with reading(source) as (image, _):
        colours, alpha = split_alpha(upright(image))
    marked = None
    if alpha is not None:
        opacity = np.asarray(alpha)
        painted = opacity >= max(1, opacity.max() / 2)  # strokes may be half transparent
        marked = None if painted.all() else _marked_on_layer(np.asarray(colours.convert("RGB")), painted)
    if marked is None:
        marked = _marked_by_light(colours, _name(source))
    return Image.fromarray(marked.astype(np.uint8) * 255)


def _marked_on_layer(pixels: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """The marked pixels, (H, W) bool, of an RGB picture that is transparent where `painted` is false."""
    inside = pixels[painted]  # (n, 3)
    if len(inside):
        dark, light = (inside < 16).all(1).mean(), (inside > 239).all(1).mean()
        if min(dark, light) > _TRACE and dark + light > 0.99:  # black and white, and transparent around it
            return painted & (pixels[..., 1] > 128)
    frame = np.concatenate([painted[0], painted[-1], painted[:, 0], painted[:, -1]])
    return ~painted if frame.mean() > 0.5 else painted  # opaque at its edges: a photo with a hole


def _marked_by_light(colours: Image.Image, name: str) -> np.ndarray:
    """The marked pixels, (H, W) bool, of an opaque picture."""
    grey = np.asarray(colours.convert("L"))
    step = max(1, round((grey.size / _SAMPLE) ** 0.5))
    pixels = np.asarray(colours.convert("RGB"))[::step, ::step]  # a sample, to recognise the kind of mask
    most, least = pixels.max(2), pixels.min(2)
    colourful = most - least >= _COLOURFUL
    dark, light = most < _DARK, least > _LIGHT
    paint, colour = np.zeros_like(dark), None
    if colourful.any():
        bins = (pixels >> 5).astype(np.uint32) @ np.array([64, 8, 1], np.uint32)
        common = np.bincount(bins[colourful]).argmax()
        colour = np.median(pixels[colourful & (bins == common)], axis=0)
        paint = colourful & _near(pixels, colour)
    elif (lower := grey.min()) < (upper := grey.max()) and ((grey == lower) | (grey == upper)).all():
        return grey == upper
    if (~(dark | light | paint)).mean() > PHOTO_SHARE:
        raise ValueError(f"{name} is a photo: a mask is black, and white on the garment.")
    if paint.mean() > _TRACE and min(dark.mean(), light.mean()) < _TRACE:
        return _near(np.asarray(colours.convert("RGB")), colour)
    return grey >= 128


def _near(pixels: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return (np.abs(pixels.astype(np.int16) - colour.astype(np.int16)) < _COLOURFUL).all(-1)

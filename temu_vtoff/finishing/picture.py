"""A product picture as a shop needs it: pure functions from picture to picture."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from temu_vtoff.finishing.background import find_background
from temu_vtoff.finishing.cutting import cut_out
from temu_vtoff.finishing.finish import TRANSPARENT, Finish
from temu_vtoff.finishing.framing import Placement, Size, place, resample

_SHOWN = 128  # opacity, of 255, from which a pixel counts for the garment's box


def finish_picture(
    image: Image.Image,
    finish: Finish,
    *,
    photo_size: Size | None = None,
    upscaler: Callable[[Image.Image], Image.Image] | None = None,
) -> Image.Image:
    """Separates the garment from its background and puts it on the canvas.

    Args:
        image: RGB, a garment on a background of one colour.
        finish: What is done.
        photo_size: Width and height of the photo, for `keep_size`.
        upscaler: Enlarges the picture first, by its own factor; the one resampling then takes it to that of `finish`.

    Returns:
        RGBA for a transparent background, otherwise RGB; sRGB without metadata.
    """
    width, image = image.width, image.convert("RGB")
    image.info = {}
    image = image if upscaler is None else upscaler(image)
    cut = cut_out(image).image() if finish.separates else None
    outline = None if cut is None else cut.getchannel("A").point(lambda level: 255 * (level >= _SHOWN)).getbbox()
    factor = finish.upscale * width / image.width
    placement = place(image.size, outline, finish, photo_size=photo_size, factor=factor)
    if finish.background == TRANSPARENT:
        canvas = Image.new("RGBA", placement.size)
        canvas.paste(resample(cut, placement), placement.target)
        return canvas
    if finish.colour is None:
        return _on_own_background(image, placement)
    canvas = Image.new("RGBA", placement.size, (*finish.colour, 255))
    canvas.alpha_composite(resample(cut, placement), placement.target[:2])
    return canvas.convert("RGB")


def _on_own_background(image: Image.Image, placement: Placement) -> Image.Image:
    """The picture's piece; what the canvas has beyond the picture gets the colour of its frame."""
    piece = resample(image, placement)
    if piece.size == placement.size:
        return piece
    canvas = Image.new("RGB", placement.size, find_background(np.asarray(image)).mean)
    canvas.paste(piece, placement.target)
    return canvas

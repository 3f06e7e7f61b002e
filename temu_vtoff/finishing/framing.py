"""Puts a garment on a canvas: where it goes, and the one resampling that takes it there."""

from dataclasses import dataclass

from PIL import Image

from temu_vtoff.finishing.finish import KEEP, Finish

Size = tuple[int, int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Placement:
    """A piece of a picture, and where it lands.

    Attributes:
        source: The piece: left, top, right, bottom in the picture.
        target: Its place on the canvas, in pixels.
        size: Width and height of the canvas.
    """

    source: Box
    target: Box
    size: Size


def place(
    size: Size, outline: Box | None, finish: Finish, *, photo_size: Size | None = None, factor: float = 1
) -> Placement:
    """Where a picture goes.

    Args:
        size: The picture's width and height.
        outline: The garment's box in it; None if there is no garment, then the whole picture counts.
        finish: How it is framed.
        photo_size: Width and height of the photo, for `keep_size`.
        factor: Enlargement where no canvas gives the size.
    """
    source = outline if finish.trims and outline is not None else (0, 0, *size)
    width, height = source[2] - source[0], source[3] - source[1]
    canvas = photo_size if finish.keep_size else finish.size
    if canvas is None:
        inner = (max(1, round(width * factor)), max(1, round(height * factor)))
        margin = _margin_around(inner, finish)
        canvas = (inner[0] + 2 * margin, inner[1] + 2 * margin)
    else:
        margin = min(finish.margin_of(canvas), (min(canvas) - 1) // 2)
        scale = min((canvas[0] - 2 * margin) / width, (canvas[1] - 2 * margin) / height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    left = (canvas[0] - inner[0]) // 2
    top = margin if finish.align == "top" else (canvas[1] - inner[1]) // 2
    target = (left, top, left + inner[0], top + inner[1])
    if finish.background == KEEP:
        source, target = _grown(source, target, size, canvas)
    return Placement(source, target, canvas)


def resample(image: Image.Image, placement: Placement) -> Image.Image:
    """The piece at its size on the canvas, by one Lanczos filter.

    The opacity of RGBA is resampled by a cubic filter, whose lobes leave no trace on the background; the colours are
    weighted by it.
    """
    left, top, right, bottom = placement.target
    size, box = (right - left, bottom - top), placement.source
    if size == (box[2] - box[0], box[3] - box[1]):
        return image.crop(box)
    resampled = image.resize(size, Image.Resampling.LANCZOS, box)
    if image.mode == "RGBA":
        resampled.putalpha(image.getchannel("A").resize(size, Image.Resampling.BICUBIC, box))
    return resampled


def _margin_around(inner: Size, finish: Finish) -> int:
    """Pixels of the margin: of a share p, the m with m = p (shorter side + 2 m)."""
    share = finish.margin_share
    return finish.margin_pixels if share is None else round(share * min(inner) / (1 - 2 * share))


def _grown(source: Box, target: Box, size: Size, canvas: Size) -> tuple[Box, Box]:
    """Both boxes with as much of the picture around as the canvas has room for, so that no seam is near the garment."""
    source, target = list(source), list(target)
    for axis in (0, 1):
        scale = (target[axis + 2] - target[axis]) / (source[axis + 2] - source[axis])
        before = int(min(source[axis], target[axis] / scale))
        after = int(min(size[axis] - source[axis + 2], (canvas[axis] - target[axis + 2]) / scale))
        source[axis], source[axis + 2] = source[axis] - before, source[axis + 2] + after
        target[axis], target[axis + 2] = target[axis] - round(before * scale), target[axis + 2] + round(after * scale)
    return tuple(source), tuple(target)

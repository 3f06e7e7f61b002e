"""The part of a photo around a garment, so that an editing model, which sees about one megapixel, sees it large."""

from PIL import Image

MARGIN = 0.25  # of the garment's larger side, on each side of it: neck, hands and hem give the scale


def focus_box(mask: Image.Image, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box around a garment: left, top, right, bottom in pixels of the mask.

    Args:
        mask: L, above 127 on the garment.
        size: Width and height whose shape the box takes, as far as the picture's borders allow.

    Raises:
        ValueError: The mask is empty.
    """
    box = mask.point(lambda value: 255 * (value > 127)).getbbox()
    if box is None:
        raise ValueError("the mask is empty, so there is no garment to focus on.")
    left, top, right, bottom = box
    margin = MARGIN * max(right - left, bottom - top)
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    width, height = max(width, height * size[0] / size[1]), max(height, width * size[1] / size[0])
    starts_and_ends = []
    for start, end, length, whole in ((left, right, width, mask.width), (top, bottom, height, mask.height)):
        length = min(round(length), whole)
        first = min(max(round((start + end - length) / 2), 0), whole - length)
        starts_and_ends.append((first, first + length))
    (left, right), (top, bottom) = starts_and_ends
    return left, top, right, bottom

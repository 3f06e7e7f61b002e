"""The repainted region goes back into the photo, at the photo's own size."""

from PIL import Image, ImageChops, ImageFilter

from temu_vtoff.pictures import unfit_picture

BORDER = 0.01  # of the photo's short side: how wide the region's border is softened


def paste_back(result: Image.Image, photo: Image.Image, region: Image.Image) -> Image.Image:
    """The photo with the region of the result; outside the region every pixel is the photo's.

    Args:
        result: RGB, of the photo padded to the size of the pictures.
        photo: RGB.
        region: L, 255 where the result counts, of the photo's shape. Its border is softened inwards.

    Returns:
        RGB, of the photo's size.
    """
    region = region.resize(photo.size, Image.Resampling.NEAREST)
    blurred = region.filter(ImageFilter.GaussianBlur(BORDER / 2 * min(photo.size)))
    # Blurred, a straight border is at one half: from there inwards the result comes in.
    soft = ImageChops.darker(blurred.point(lambda value: max(0, 2 * value - 255)), region)
    return Image.composite(unfit_picture(result, photo.size), photo, soft)

"""Fitting a picture to a model's size."""

from PIL import Image, ImageOps

from temu_vtoff.errors import check_choice

RESIZE_MODES = ("pad", "crop", "stretch")
SHAPE_TOLERANCE = 0.02  # relative difference of two aspect ratios


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
        image: A picture of any mode; the result has the same mode.
        mode: "pad" keeps the whole picture and fills the border, "crop" fills the frame and cuts off the rest,
            "stretch" changes the aspect ratio.
        fill: Colour of the border.
        resample: NEAREST for masks and label maps.

    Raises:
        ValueError: Unknown mode, or a picture too narrow for this size.
    """
    check_choice("resize_mode", mode, RESIZE_MODES)
    if mode == "stretch":
        return image.resize((width, height), resample)
    if mode == "crop":
        return ImageOps.fit(image, (width, height), resample)
    scale = min(width / image.width, height / image.height)
    if min(image.size) * scale < 0.5:
        raise ValueError(f"a picture of {image.width}x{image.height} pixels is too narrow for {width}x{height}.")
    return ImageOps.pad(image, (width, height), resample, color=fill)


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes, width and height, have the same aspect ratio, up to `SHAPE_TOLERANCE` for rounding."""
    return abs(size[0] * other[1] / (size[1] * other[0]) - 1) <= SHAPE_TOLERANCE


def unfit_picture(
    image: Image.Image, size: tuple[int, int], resample: Image.Resampling = Image.Resampling.LANCZOS
) -> Image.Image:
    """A picture that was padded, or made of one that was, as the original's own: without the border, at `size`."""
    inner = ImageOps.contain(Image.new("L", size), image.size).size
    left, top = (round((outer - inside) * 0.5) for outer, inside in zip(image.size, inner, strict=True))
    return image.resize(size, resample, box=(left, top, left + inner[0], top + inner[1]))

"""Fitting a picture to a model's size."""

from PIL import Image, ImageOps

RESIZE_MODES = ("pad", "crop", "stretch")


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

    Raises:
        ValueError: Another mode, or a picture so narrow that nothing of it is left at that size.
    """
    if mode == "stretch":
        return image.resize((width, height), resample)
    if mode == "crop":
        return ImageOps.fit(image, (width, height), resample)
    if mode == "pad":
        scale = min(width / image.width, height / image.height)
        if min(image.size) * scale < 0.5:
            raise ValueError(f"a picture of {image.width}x{image.height} pixels is too narrow for {width}x{height}.")
        return ImageOps.pad(image, (width, height), resample, color=fill)
    raise ValueError(f"resize mode is {mode!r}; choose one of {', '.join(RESIZE_MODES)}.")

"""Pictures of any mode as 8-bit sRGB: transparency, deep greys and embedded colour profiles."""

import io

import numpy as np
from PIL import Image, ImageCms

_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}  # Pillow's mode -> the colour space in a profile
_WHITES = (255, 65535)  # of deep greys; the first that is not exceeded is taken
_FLOAT_WHITES = (1, 255, 1023, 4095, 16383, 65535)
_OVERSHOOT = 0.1  # share of its range by which sharpening or resizing may take a float grey beyond it
_SAME = 2  # levels; a profile that changes no colour by more counts as sRGB and is not applied


def to_srgb(image: Image.Image) -> Image.Image:
    """The picture in sRGB; transparent parts come out white.

    Args:
        image: A loaded picture; its `info` may hold a "transparency" and an "icc_profile".

    Returns:
        RGB, a new picture without metadata.
    """
    profile = image.info.get("icc_profile")
    image, alpha = split_alpha(image)
    rgb = _by_profile(image, profile) if profile else image.convert("RGB")
    if alpha is not None:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
    rgb.info = {}
    return rgb


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The picture's colours (RGB, L or CMYK), and its opacity (L, or None for an opaque picture)."""
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey(image)
    if image.has_transparency_data:
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        return rgba.convert("RGB"), rgba.getchannel("A")
    return image if image.mode in _SPACES else image.convert("L" if image.mode == "1" else "RGB"), None


def _deep_grey(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Scales 16-bit, 32-bit and float greys to 8 bits by their range; Pillow's `convert` would clip them."""
    grey = np.asarray(image).astype(np.float64)
    finite = np.isfinite(grey)
    if not finite.any():
        raise ValueError("none of its values is finite.")
    low, high = grey[finite].min(), grey[finite].max()
    grey = np.where(finite, grey, low)
    beyond, whites = (_OVERSHOOT, _FLOAT_WHITES) if image.mode == "F" else (0, _WHITES)
    white = next((white for white in whites if high <= white * (1 + beyond)), None)
    if white is None or low < -beyond * white:
        grey = (grey - low) * (255 / max(high - low, 1e-12))
    else:
        grey = (grey * (255 / white)).clip(0, 255)
    clear = image.info.get("transparency")
    alpha = None if clear is None else Image.fromarray(np.where(np.asarray(image) == clear, 0, 255).astype(np.uint8))
    return Image.fromarray(grey.round().astype(np.uint8)), alpha


def _by_profile(image: Image.Image, data: bytes) -> Image.Image:
    """Converts to RGB by the embedded profile; a broken profile, or one for another mode, is ignored."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if profile.profile.xcolor_space.strip() != _SPACES[image.mode]:
            return image.convert("RGB")
        to_srgb = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), image.mode, "RGB")
        if image.mode == "RGB" and _changes_little(to_srgb):
            return image
        return ImageCms.applyTransform(image, to_srgb)
    except Exception:  # lcms and Pillow raise all kinds on damaged profiles
        return image.convert("RGB")


def _changes_little(transform: ImageCms.ImageCmsTransform) -> bool:
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    changed = np.asarray(ImageCms.applyTransform(Image.fromarray(colours), transform))
    return int(np.abs(changed.astype(int) - colours).max()) <= _SAME

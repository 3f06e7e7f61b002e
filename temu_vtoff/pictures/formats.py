"""Which picture formats this Pillow reads, by suffix, and its decoder that writes to the screen."""

import ctypes
from functools import cache
from importlib import import_module

from PIL import Image, _imaging

HEIF_SUFFIXES = (".heic", ".heif", ".hif")
PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"),
    *(*HEIF_SUFFIXES, ".mpo", ".jp2", ".jxl"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),  # cameras' own, which are named when left out
)
HEIF_REMEDY = "for HEIC files install pillow-heif, or save them as JPEG"


def is_readable(suffix: str) -> bool:
    """Whether Pillow and its installed plugins read files with this suffix (".avif")."""
    suffix = suffix.lower()
    register_plugin(suffix)
    Image.init()
    return Image.registered_extensions().get(suffix) in Image.OPEN


def register_plugin(suffix: str) -> None:
    """Makes Pillow read HEIF pictures where pillow-heif is installed."""
    if suffix.lower() in HEIF_SUFFIXES:
        _register_heif()


@cache
def _register_heif() -> None:
    try:
        import_module("pillow_heif").register_heif_opener()
    except Exception:  # not installed, or built for another Pillow
        return


@cache
def silence_libtiff() -> None:
    """Keeps the lines of the TIFF decoder about damaged files off the screen; Pillow raises its own errors.

    Every thread's: the decoder has one handler for the whole process. Where Pillow's wheel hides it, as on Windows, the
    lines stay.
    """
    try:
        decoder = ctypes.CDLL(_imaging.__file__)  # loaded already; finds the libraries that it is linked to
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            set_handler = getattr(decoder, name)
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)
    except (OSError, AttributeError):
        return

"""The orientation of a photo, which is all that is wanted of its metadata."""

from PIL import Image

_ORIENTATION = 0x0112
_LENGTHS = {1: 1, 3: 2, 4: 4}  # of a value, by its type: byte, short, long


def orientation(image: Image.Image) -> int:
    """The EXIF orientation (1 to 8), or 1 where there is none or it can't be read.

    Pillow gives up at the first damaged entry, whatever it is about. So the EXIF block is searched here first; Pillow
    is asked where there is none (TIFF, XMP).
    """
    block = image.info.get("exif")
    found = _search(block) if isinstance(block, bytes) else None
    if found is None:
        try:
            found = image.getexif().get(_ORIENTATION)
        except Exception:  # damaged metadata raise all kinds
            return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _search(block: bytes) -> int | None:
    """The orientation's value in the first directory of an EXIF block, which is a TIFF file without a picture."""
    tiff = block.removeprefix(b"Exif\0\0")
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return None

    def number(at: int, length: int) -> int:
        return int.from_bytes(tiff[at : at + length], order)

    start = number(4, 4)
    for entry in range(start + 2, min(start + 2 + 12 * number(start, 2), len(tiff) - 11), 12):
        if number(entry, 2) == _ORIENTATION:
            return number(entry + 8, _LENGTHS.get(number(entry + 2, 2), 0))
    return None

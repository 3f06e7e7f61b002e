"""The EXIF orientation of a photo; the rest of its metadata is not needed."""

from PIL import Image

_ORIENTATION = 0x0112
_LENGTHS = {1: 1, 3: 2, 4: 4}  # bytes of a value, by its type: byte, short, long


def orientation(image: Image.Image) -> int:
    """The EXIF orientation (1 to 8), or 1 where there is none or it can't be read.

    Pillow stops at the first damaged entry, even if another one holds the orientation. Therefore the EXIF block is
    searched here; Pillow is used where there is no such block (TIFF, XMP).
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

    def number(offset: int, length: int) -> int:
        return int.from_bytes(tiff[offset : offset + length], order)

    start = number(4, 4)
    for entry in range(start + 2, min(start + 2 + 12 * number(start, 2), len(tiff) - 11), 12):
        if number(entry, 2) == _ORIENTATION:
            return number(entry + 8, _LENGTHS.get(number(entry + 2, 2), 0))
    return None

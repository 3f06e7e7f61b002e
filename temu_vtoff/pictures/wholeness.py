"""Whether a picture file was written to its end, without decoding it."""

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from PIL import Image

_PNG, _JPEG_START, _JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xd9"


def is_whole_picture(path: str | Path) -> bool:
    """Whether the file exists, is a picture and ends where it should: False for an empty or truncated file.

    Reads the header and the end of JPEG and WebP files and the chunk headers of PNG files (1 ms); other formats are
    decoded.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(33)
            if head.startswith(_PNG):
                return _is_whole_png(file, head)
            if head.startswith(_JPEG_START):
                file.seek(-2, 2)
                return file.read(2) == _JPEG_END
            if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
                return file.seek(0, 2) >= struct.unpack("<I", head[4:8])[0] + 8
            file.seek(0)
            with Image.open(file) as picture:
                picture.load()
            return True
    except Exception:  # Pillow raises all kinds on damaged files
        return False


def _is_whole_png(file: BinaryIO, head: bytes) -> bool:
    """Follows the chunks from the header (the first 33 bytes) to the end mark."""
    if head[12:16] != b"IHDR" or zlib.crc32(head[12:29]) != int.from_bytes(head[29:33], "big"):
        return False
    while len(chunk := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", chunk)
        if kind == b"IEND":
            return len(file.read(4)) == 4
        if not kind.isalpha():
            return False
        file.seek(length + 4, 1)  # the data and their checksum
    return False

"""Writing pictures whole or not at all."""

from pathlib import Path

from PIL import Image

from temu_vtoff.files import replacing


def save_picture(image: Image.Image, path: str | Path, **options: object) -> Path:
    """Writes a picture under a temporary name and renames it, so that a kill never leaves half a file behind.

    Args:
        path: The suffix chooses the format.
        options: Arguments of Pillow's `save` for that format.
    """
    path = Path(path)
    with replacing(path) as temporary:
        image.save(temporary, **options)
    return path

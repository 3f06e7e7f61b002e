"""Which files of a folder are pictures, and names for what is made of them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def list_pictures(folder: str | Path, recursive: bool = False) -> list[Path]:
    """The picture files of a folder, by suffix (`PICTURE_SUFFIXES`), sorted by path, without hidden ones."""
    found = Path(folder).rglob("*") if recursive else Path(folder).iterdir()
    return sorted(
        path
        for path in found
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def find_pictures(paths: Sequence[str | Path]) -> list[Path]:
    """The files named, and the pictures of the folders named.

    Raises:
        ValueError: A folder without pictures.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        inside = list_pictures(path) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"there are no pictures in the folder {path}.")
        found += inside
    return found


def unique_stems(paths: Sequence[Path]) -> list[str]:
    """A name for what is made of each picture: its stem, with the suffix and a number where others share it."""
    shared = Counter(path.stem for path in paths)
    stems: dict[str, None] = {}  # ordered
    for path in paths:
        stem = name = path.stem if shared[path.stem] == 1 else f"{path.stem}_{path.suffix[1:]}"
        number = 2
        while name in stems:
            name, number = f"{stem}_{number}", number + 1
        stems[name] = None
    return list(stems)

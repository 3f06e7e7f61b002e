"""The pictures in a folder, and unique names for their results."""

import hashlib
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from temu_vtoff.errors import first_few
from temu_vtoff.pictures.formats import HEIF_REMEDY, HEIF_SUFFIXES, PICTURE_SUFFIXES, is_readable

LONGEST_STEM = 200  # bytes: file systems take 255, and endings such as "_lower_body_binary_mask.png" come after it
# Ends of the stems of what the scripts write beside photos.
_RESULT = re.compile(r"_(output(_\d+)?|binary_mask|fine_mask|region|panel)$")

logger = logging.getLogger(__name__)


def list_pictures(folder: str | Path, recursive: bool = False) -> list[Path]:
    """The picture files of a folder, by suffix (`PICTURE_SUFFIXES`), sorted by path, without hidden ones.

    Links to folders are followed, unless they lead back to a folder above. Pictures in a format that this Pillow can't
    read are left out; a logged warning names them.

    Raises:
        ValueError: The folder can't be read.
    """
    found = sorted(
        path
        for path in _files(Path(folder), recursive, above=frozenset())
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    )
    readable = {suffix: is_readable(suffix) for suffix in {path.suffix for path in found}}
    if left_out := [path for path in found if not readable[path.suffix]]:
        logger.warning("left out, because Pillow can't read them%s: %s", _remedy(left_out), first_few(left_out, 5))
    return [path for path in found if readable[path.suffix]]


def list_photos(folder: str | Path, recursive: bool = False) -> list[Path]:
    """Like `list_pictures`, without results of earlier runs (`<photo>_output.png`, `<photo>_binary_mask.png`, …)."""
    return [path for path in list_pictures(folder, recursive) if stem_of_result(path) is None]


def stem_of_result(path: Path) -> str | None:
    """The stem of the photo that a picture is named as a result of; None for other names."""
    found = _RESULT.search(path.stem)
    return None if found is None else path.stem[: found.start()]


def find_pictures(paths: Sequence[str | Path]) -> list[Path]:
    """The given files, and the photos in the given folders.

    Raises:
        ValueError: A folder without photos.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        inside = list_photos(path) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"there are no pictures in the folder {path}.")
        found += inside
    return found


def unique_stems(paths: Sequence[Path]) -> list[str]:
    """A unique name for each picture: its stem, plus the suffix and a number where several pictures share it.

    Names that differ only by case or Unicode form count as shared, because some file systems don't distinguish them.
    Long names are cut (`short_stem`).
    """
    plain = [short_stem(path.stem) for path in paths]
    shared = Counter(map(_form, plain))
    taken: set[str] = set()
    stems = []
    for path, stem in zip(paths, plain, strict=True):
        if shared[_form(stem)] > 1:
            stem = f"{stem}_{path.suffix[1:]}"
        name, number = stem, 2
        while _form(name) in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(_form(name))
        stems.append(name)
    return stems


def short_stem(stem: str) -> str:
    """The stem; if it is longer than `LONGEST_STEM` bytes, its start and a hash of the whole."""
    data = stem.encode("utf-8", "surrogatepass")
    if len(data) <= LONGEST_STEM:
        return stem
    start = data[: LONGEST_STEM - 9].decode("utf-8", "ignore")
    return f"{start}-{hashlib.sha256(data).hexdigest()[:8]}"


def _remedy(paths: Sequence[Path]) -> str:
    return f" ({HEIF_REMEDY})" if any(path.suffix.lower() in HEIF_SUFFIXES for path in paths) else ""


def _form(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _files(folder: Path, recursive: bool, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """The files of a folder; `above` holds device and inode of the folders that lead to it."""
    try:
        status = folder.stat()
        entries = list(os.scandir(folder))
    except OSError as error:
        if not above:
            raise ValueError(f"the folder {folder} can't be read: {error.strerror}.") from error
        logger.warning("the folder %s is left out: %s", folder, error.strerror)
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        logger.info("%s leads back to a folder above it", folder)
        return
    for entry in entries:
        path = folder / entry.name
        try:
            if entry.is_file():
                yield path
            elif recursive and entry.is_dir():
                yield from _files(path, recursive, above | {here})
        except OSError:  # a link that leads to itself
            continue

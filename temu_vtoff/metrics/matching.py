"""Which prediction belongs to which truth: by id in a dataset, by relative path in two folders."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from temu_vtoff.errors import ArgumentError, reason_of
from temu_vtoff.files import read_text
from temu_vtoff.metrics.prints import Print
from temu_vtoff.pictures import PICTURE_SUFFIXES, list_pictures

if TYPE_CHECKING:
    from temu_vtoff.datasets import Item

SHOWN = 20  # names that a message lists
_ENDING = re.compile(r"_0?[01]$")  # of DressCode's and VITON-HD's persons and garments


@dataclass(frozen=True)
class PicturePair:
    """A prediction and its truth.

    Attributes:
        key: `<category>/<stem>`, unique.
        category: Group in the results.
        photo: Shown in the report only.
        print: Where the truth has a word or a logo, if that is known.
    """

    key: str
    category: str
    prediction: Path
    truth: Path
    photo: Path | None = None
    print: Print | None = None


@dataclass(frozen=True)
class Matching:
    """Pairs in the order of the truths, and what has no partner."""

    pairs: list[PicturePair]
    missing: list[str]  # keys of truths without prediction
    extra: list[str]  # keys of predictions without truth
    excluded: list[str] = field(default_factory=list)  # keys that were left out on purpose
    aliases: Mapping[str, frozenset[str]] = field(default_factory=dict)  # names of an item besides its key, by key

    def without(self, names: Collection[str]) -> Matching:
        """The same without the items that have one of these names: keys, stems, and a dataset's ids.

        Raises:
            ValueError: No pair is left.
        """
        wanted = frozenset(names)
        left_out = {key for key in self._keys if wanted & self._names(key)}
        pairs = [pair for pair in self.pairs if pair.key not in left_out]
        if self.pairs and not pairs:
            raise ValueError("The list of items to leave out leaves no pair to compare.")
        missing, extra = ([key for key in keys if key not in left_out] for keys in (self.missing, self.extra))
        return replace(self, pairs=pairs, missing=missing, extra=extra, excluded=sorted(left_out))

    def unknown(self, names: Collection[str]) -> list[str]:
        """The names that no item has, sorted."""
        return sorted(set(names) - set().union(*map(self._names, self._keys)))

    @property
    def _keys(self) -> list[str]:
        return [*(pair.key for pair in self.pairs), *self.missing, *self.extra, *self.excluded]

    def _names(self, key: str) -> frozenset[str]:
        return self.aliases.get(key, frozenset()) | {key, key.rsplit("/", 1)[-1]}

    def require_complete(self) -> None:
        """
        Raises:
            ArgumentError: Something has no partner; the message lists it.
        """
        problems = [
            f"{len(keys)} {what}: {', '.join(keys[:SHOWN])}{', …' if len(keys) > SHOWN else ''}"
            for keys, what in ((self.missing, "missing"), (self.extra, "without truth"))
            if keys
        ]
        if problems:
            raise ArgumentError(
                f"Predictions and truths don't match: {'; '.join(problems)}. Complete the predictions, or give "
                "{allow_missing} to leave those out.",
                "allow_missing",
            )


def garment_truth(item: Item) -> Path:
    """Try-off's truth: the product picture."""
    return item.garment


def person_truth(item: Item) -> Path:
    """Try-on's truth: the photo; of paired lists the answer, of unpaired ones a member of the set to resemble."""
    return item.person


@dataclass(frozen=True)
class DrawnTruth:
    """Try-on's truth of unpaired lists of drawn people: the same person, drawn in the other garment.

    Attributes:
        folder: `<dataset>/truth/try_on`.
    """

    folder: Path

    def __call__(self, item: Item) -> Path:
        person, garment = (_ENDING.sub("", stem) for stem in (item.person.stem, item.garment_stem))
        return self.folder / item.category / f"{person}_{garment}.png"


def match_dataset(
    items: Sequence[Item],
    pred_dir: str | Path,
    truth_of: Callable[[Item], Path] = garment_truth,
    prints: Mapping[str, Print] | None = None,
) -> Matching:
    """Matches predictions at `<pred_dir>/<category>/<stem>.png` (or another picture suffix) with the items' truths.

    Args:
        truth_of: The path of an item's truth.
        prints: By item id, where product pictures have a word or a logo.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: Two predictions of one item.
    """
    predictions: dict[str, Path] = {}
    _require_folder(pred_dir)
    for category in dict.fromkeys(item.category for item in items):
        folder = Path(pred_dir) / category
        found = list_pictures(folder) if folder.is_dir() else []
        predictions |= _by_key(found, Path(pred_dir))
    truths = {item.key: item for item in items}
    pairs = [
        PicturePair(
            key,
            item.category,
            prediction=predictions[key],
            truth=truth_of(item),
            photo=item.person,
            print=(prints or {}).get(item.id),
        )
        for key, item in truths.items()
        if key in predictions
    ]
    return replace(_matching(pairs, truths, predictions), aliases={item.key: _aliases(item) for item in items})


def _aliases(item: Item) -> frozenset[str]:
    """The id of the item, and the stems of its files; of unpaired lists, the person's id and stem too."""
    person = item.person.stem
    return frozenset({item.id, item.garment_stem, person, person if item.whole_stem else person.split("_")[0]})


def match_folders(pred_dir: str | Path, truth_dir: str | Path, photo_dir: str | Path | None = None) -> Matching:
    """Matches pictures of the same relative path, whatever their suffixes; first-level subfolders are the categories.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: Two pictures of the same name in a folder, or no pictures at all.
    """
    folders = [folder for folder in (pred_dir, truth_dir, photo_dir) if folder is not None]
    for folder in folders:
        _require_folder(folder)
    predictions, truths, *rest = (_by_key(list_pictures(f, recursive=True), Path(f)) for f in folders)
    photos = rest[0] if rest else {}
    if not truths:
        raise ValueError(f"There are no pictures in {truth_dir}.")
    pairs = [
        PicturePair(
            key,
            key.split("/")[0] if "/" in key else "all",
            prediction=predictions[key],
            truth=truth,
            photo=photos.get(key),
        )
        for key, truth in truths.items()
        if key in predictions
    ]
    return _matching(pairs, truths, predictions)


def _matching(pairs: list[PicturePair], truths: dict, predictions: dict) -> Matching:
    return Matching(pairs, [k for k in truths if k not in predictions], [k for k in predictions if k not in truths])


def _by_key(paths: Sequence[Path], root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        key = path.relative_to(root).with_suffix("").as_posix()
        if key in found:
            raise ValueError(f"{found[key]} and {path} have the same name; keep one of them.")
        found[key] = path
    return found


def _require_folder(folder: str | Path) -> None:
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")


def read_names(path: str | Path) -> set[str]:
    """The names in a file, one a line; lines that begin with # and suffixes of pictures are passed over.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It can't be read, or names nothing.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no list {path}.")
    lines = [line.strip() for line in read_text(path).splitlines()]
    names = [Path(line) for line in lines if line and not line.startswith("#")]
    if not names:
        raise ValueError(f"The list {path} names nothing.")
    return {str(name.with_suffix("") if name.suffix.lower() in PICTURE_SUFFIXES else name) for name in names}


def read_quality(pred_dir: str | Path) -> dict[str, float]:
    """The scores without truth in a folder's manifest.csv, by key; empty if there is none, or if it has no such column.

    Raises:
        ValueError: The manifest can't be read.
    """
    try:
        with (Path(pred_dir) / "manifest.csv").open(encoding="utf-8", newline="") as file:
            rows = [(row.get("key"), row.get("quality")) for row in csv.DictReader(file)]
        return {key: float(quality) for key, quality in rows if key and quality}
    except FileNotFoundError:
        return {}
    except (ValueError, csv.Error, OSError) as error:
        raise ValueError(f"{Path(pred_dir) / 'manifest.csv'} can't be read: {reason_of(error)}.") from error

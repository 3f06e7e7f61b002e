"""Which garment goes on which person in a run of try_on.py, and which of these pairs are finished; light."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from temu_vtoff.datasets.pairs import read_pairs
from temu_vtoff.pictures import is_whole_picture, save_picture, unique_stems
from temu_vtoff.runs.journal import Journal

Item = TypeVar("Item")


@dataclass(frozen=True)
class PairPlan:
    """Persons, garments and pairs of them.

    Attributes:
        persons: Photos.
        garments: Product pictures, or photos whose garment is taken off first.
        pairs: Places in both lists.
    """

    persons: list[Path]
    garments: list[Path]
    pairs: list[tuple[int, int]]

    @classmethod
    def every(cls, persons: Sequence[Path], garments: Sequence[Path]) -> PairPlan:
        """Every garment on every person."""
        return cls(list(persons), list(garments), list(product(range(len(persons)), range(len(garments)))))

    @classmethod
    def read(cls, path: Path, person_folder: Path | None = None, garment_folder: Path | None = None) -> PairPlan:
        """The pairs of a file, "person garment" a line (`read_pairs`).

        Args:
            person_folder: What the persons' names are relative to; the file's folder when left out.
            garment_folder: The same for the garments.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no list of pairs.
        """
        try:
            lines = read_pairs(path)
        except FileNotFoundError:
            raise FileNotFoundError(f"There is no pairs file {path}.") from None
        folders = [path.parent if folder is None else folder for folder in (person_folder, garment_folder)]
        files = [tuple(folder / name for folder, name in zip(folders, names, strict=True)) for names in lines]
        persons, garments = (list(dict.fromkeys(column)) for column in zip(*files, strict=True))
        places = [{file: place for place, file in enumerate(column)} for column in (persons, garments)]
        return cls(persons, garments, [(places[0][person], places[1][garment]) for person, garment in files])

    @property
    def names(self) -> list[str]:
        """A unique name for the files of each pair."""
        persons, garments = unique_stems(self.persons), unique_stems(self.garments)
        return unique_stems([Path(f"{persons[i]}_{garments[j]}.png") for i, j in self.pairs])

    def needed(self, left: Sequence[tuple[str, tuple[int, int]]], batch_size: int) -> tuple[list[int], list[int]]:
        """Places of the persons and of the garments that are left to do, in whole batches.

        Args:
            left: Names and pairs that are left.
        """

        def of(column: int, photos: Sequence[Path]) -> list[int]:
            wanted = {pair[column] for _, pair in left}
            return unfinished_batches(range(len(photos)), batch_size, lambda place: place not in wanted)

        return of(0, self.persons), of(1, self.garments)


@dataclass
class FinishedPairs:
    """The pairs that a folder holds whole, made with the same settings of the same files.

    Attributes:
        folder: Of the results.
        settings: What the results depend on, as JSON values.
        images: Pictures of each pair.
    """

    folder: Path
    settings: Mapping[str, Any]
    images: int
    _journal: Journal | None = field(default=None, init=False)

    def files(self, name: str) -> list[Path]:
        """Region, pictures and panel of a pair, in the order in which they are written."""
        outputs = ["output", *(f"output_{number}" for number in range(2, self.images + 1))]
        return [self.folder / f"{name}_{ending}.png" for ending in ("region", *outputs, "panel")]

    def find(self, inputs: Mapping[str, Sequence[Path]]) -> set[str]:
        """The names of finished pairs.

        Args:
            inputs: By name, the files that a pair is made of.
        """
        if not (self.folder / "journal").is_dir():
            return set()
        entries = self._open().read()
        return {
            name
            for name, files in inputs.items()
            if entries.get(name, {}).get("made_of") == self._made_of(files)
            and all(map(is_whole_picture, self.files(name)))
        }

    def write(self, name: str, pictures: Sequence[Image.Image], made_of: Sequence[Path]) -> None:
        """Writes the results of a pair, and notes that they are there.

        Args:
            pictures: For `files`.
            made_of: The files that the pair is made of.
        """
        for path, picture in zip(self.files(name), pictures, strict=True):
            save_picture(picture, path)
        self._open().append(name, made_of=self._made_of(made_of))

    def _open(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self.folder / "journal", "try_on")
        return self._journal

    def _made_of(self, files: Sequence[Path]) -> str:
        status = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
        text = json.dumps([self.settings, status], sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def unfinished_batches(items: Sequence[Item], size: int, is_done: Callable[[Item], bool]) -> list[Item]:
    """The items of the batches in which something is left to do, whole, so that a resumed run has the same batches."""
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    return [item for batch in batches if not all(map(is_done, batch)) for item in batch]

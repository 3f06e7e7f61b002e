"""Which garment goes on which person in a run of try_on.py; light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from temu_vtoff.datasets.pairs import read_pairs
from temu_vtoff.pictures import unique_stems
from temu_vtoff.runs.finished import unfinished_batches


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


def pair_files(folder: Path, name: str, images: int) -> list[Path]:
    """Region, pictures and panel of a pair, in the order in which they are written."""
    outputs = ["output", *(f"output_{number}" for number in range(2, images + 1))]
    return [folder / f"{name}_{ending}.png" for ending in ("region", *outputs, "panel")]

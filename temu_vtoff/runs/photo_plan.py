"""Which photos a run of inference.py reads, which of them are one item of work, and which items are finished; light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temu_vtoff.errors import ArgumentError
from temu_vtoff.pictures.addresses import is_address
from temu_vtoff.pictures.folders import stem_of_result
from temu_vtoff.runs.finished import FinishedResults, unfinished_batches
from temu_vtoff.runs.garment_files import done_lines
from temu_vtoff.stages.garment import Garment
from temu_vtoff.stages.grouping import Group

if TYPE_CHECKING:
    from temu_vtoff.runs.photo_run import PhotoRun


@dataclass(frozen=True)
class PhotoPlan:
    """The photos of a run, in items: a photo alone, or all photos of a group.

    Attributes:
        items: The photos of each item, as listed, by `Garment.item`.
        made_of: By item, what its results are made of.
        results: The folder's results.
        finished: By item, the names of the results that the folder holds.
        lines: By name, what results.jsonl says of finished results.
    """

    items: dict[str, list[Garment]]
    made_of: dict[str, str]
    results: FinishedResults
    finished: dict[str, list[str]]
    lines: dict[str, dict[str, Any]]

    @classmethod
    def of(
        cls, photos: Sequence[Garment], results: FinishedResults, *, batch_size: int = 1, overwrite: bool = False
    ) -> PhotoPlan:
        """
        Args:
            photos: As listed, with unique names; `Garment.group` is set where photos are grouped.
            results: The folder's results.
            batch_size: Batches in which an item is left stay whole, so that a resumed run has the same batches.
            overwrite: Take nothing for finished.

        Raises:
            ArgumentError: A result would replace a photo or a mask of the run.
        """
        _check_inputs_stay(photos, results.folder)
        items: dict[str, list[Garment]] = {}
        for photo in photos:
            items.setdefault(photo.item, []).append(photo)
        made_of = {item: results.made_of(*map(_sources, own)) for item, own in items.items()}
        lines = done_lines(results.folder)
        finished = {}
        for item in [] if overwrite else items:
            names = results.find(made_of[item])
            if names is not None and all(name in lines for name in names):
                finished[item] = names
        left = unfinished_batches([*items], batch_size, finished.__contains__)
        finished = {item: names for item, names in finished.items() if item not in left}
        return cls(items, made_of, results, finished, lines)

    @property
    def photos(self) -> list[Garment]:
        """All photos."""
        return [photo for photos in self.items.values() for photo in photos]

    @property
    def left(self) -> list[Garment]:
        """The photos of the items that are left."""
        return [photo for item, photos in self.items.items() if item not in self.finished for photo in photos]

    @property
    def taken(self) -> list[str]:
        """The names of finished results."""
        return [name for names in self.finished.values() for name in names]

    def group(self, garments: Sequence[Garment]) -> None:
        """Gives the garments found in photos the photos' groups."""
        groups = {photo.listed: photo.group for photos in self.items.values() for photo in photos}
        for garment in garments:
            garment.group = groups[garment.listed]

    def outcome(self, made: PhotoRun | None) -> dict[str, Any]:
        """Outputs, quality and warnings of finished and new results, in the order of the photos; for `run.json`.

        Args:
            made: What was left; None for nothing.
        """
        folder, known = self.results.folder, {name: self.lines[name] for name in self.taken}
        outputs = {name: [folder / file for file in line["outputs"]] for name, line in known.items()}
        quality = {name: line["quality"] for name, line in known.items()}
        warnings = {name: line["warnings"] for name, line in known.items()}
        names = {item: [*own] for item, own in self.finished.items()}
        for group in [] if made is None else made.groups:
            names.setdefault(group.garments[0].item, []).extend(group.names)
        if made is not None:
            outputs, quality = outputs | made.files.outputs, quality | made.files.quality
            warnings |= {garment.name: garment.warnings for garment in made.garments}
        ordered = [name for item in self.items for name in names.get(item, []) if name in outputs]
        return {
            "outputs": [path for name in ordered for path in outputs[name]],
            "quality": quality,
            "warnings": {name: sentences for name, sentences in warnings.items() if sentences},
        }

    def add(self, item: str, name: str, files: Sequence[Path], groups: Sequence[Group]) -> None:
        """Notes a result of an item that is written.

        Args:
            files: All of its files.
            groups: Of all garments of the run.
        """
        names = [name for group in groups if group.garments[0].item == item for name in group.names]
        self.results.add(name, files, made_of=self.made_of[item], names=names)


def _check_inputs_stay(photos: Sequence[Garment], folder: Path) -> None:
    names = {name for photo in photos for name in (photo.name, photo.group) if name}
    for source in (source for photo in photos for source in (photo.photo, photo.mask_file)):
        if not isinstance(source, (str, Path)) or is_address(source):
            continue
        stem = stem_of_result(Path(source))
        own = stem is not None and any(stem == name or stem.startswith(f"{name}_") for name in names)
        if own and Path(source).parent.resolve() == folder.resolve():
            raise ArgumentError(f"A result would replace {source}: give another {{out_dir}}.", "out_dir")


def _sources(photo: Garment) -> list[object]:
    files = [
        source if source is None or is_address(source) else Path(source) for source in (photo.photo, photo.mask_file)
    ]
    return [*files, photo.name, photo.category, photo.caption, photo.group]

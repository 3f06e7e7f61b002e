"""Which results of earlier runs the folder of inference.py or try_on.py holds whole, so that a run makes the others."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import temu_vtoff
from temu_vtoff.backends.lora import Lora
from temu_vtoff.pictures import is_whole_picture
from temu_vtoff.pictures.formats import PICTURE_SUFFIXES
from temu_vtoff.runs.journal import Journal
from temu_vtoff.stages.options import Options

Item = TypeVar("Item")
_NUMBER = re.compile(r"_\d+(?=\.\w+$)")  # of further pictures: _output_2.png
_INDIFFERENT = ("device", "offload", "batch_size")  # options that change no picture


class FinishedResults:
    """The journal of a folder's results.

    What a result is made of is a short text: the settings of the run, and size and time of each file. A result is
    finished as long as that text stays the same and all of its files are whole.

    Args:
        folder: Of the results.
        journal: Name of the journal.
        settings: What the results depend on, as JSON values; see `settings_of`.
    """

    def __init__(self, folder: Path, journal: str, settings: Mapping[str, Any]) -> None:
        self.folder, self.name, self.settings = folder, journal, settings
        self._journal: Journal | None = None
        self._entries: dict[str, dict[str, Any]] | None = None

    def made_of(self, *sources: object) -> str:
        """A short text for the settings and the sources: paths, whose files count, and other JSON values."""
        text = json.dumps([self.settings, *map(_state, sources)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def find(self, made_of: str) -> list[str] | None:
        """The names of all results made of this; None if one is missing, damaged, or replaced by another."""
        own = {name: entry for name, entry in self._read().items() if entry.get("made_of") == made_of}
        for entry in own.values():
            names = entry["names"]
            whole = all(name in own and all(map(self._is_whole, own[name]["files"])) for name in names)
            return names if whole else None
        return None

    def add(self, name: str, files: Sequence[Path], *, made_of: str, names: Sequence[str] | None = None) -> None:
        """Notes a result that is written, and deletes further pictures of an earlier result of that name.

        Args:
            name: Of the result.
            files: All of its files, which are in the folder.
            made_of: As `made_of` returns it.
            names: Of all results made of this; the one name when left out.
        """
        own = [file.name for file in files]
        for earlier in self._read().get(name, {}).get("files", []):
            if earlier not in own and _NUMBER.sub("", earlier) in own:
                (self.folder / Path(earlier).name).unlink(missing_ok=True)
        entry = {"made_of": made_of, "names": [name] if names is None else list(names), "files": own}
        self._open().append(name, **entry)
        self._read()[name] = entry

    def _read(self) -> dict[str, dict[str, Any]]:
        if self._entries is None:
            entries = self._open().read() if (self.folder / "journal").is_dir() else {}
            self._entries = {name: entry for name, entry in entries.items() if _is_sound(entry)}
        return self._entries

    def _open(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self.folder / "journal", self.name)
        return self._journal

    def _is_whole(self, name: str) -> bool:
        path = self.folder / name
        if path.suffix in PICTURE_SUFFIXES:
            return is_whole_picture(path)
        return path.is_file() and path.stat().st_size > 0


def settings_of(options: Options, **others: Any) -> dict[str, Any]:
    """What results depend on: the options that change pictures, other settings, and the files of models in folders."""
    settings = {name: value for name, value in asdict(options).items() if name not in _INDIFFERENT}
    named = [value for value in settings.values() if isinstance(value, str)]
    named += [Lora.parse(lora).source for lora in options.lora]
    weights = {name: _weights(Path(name)) for name in named if os.path.exists(name)}
    return settings | others | {"version": temu_vtoff.__version__, "weights": weights}


def unfinished_batches(items: Sequence[Item], size: int, is_done: Callable[[Item], bool]) -> list[Item]:
    """The items of the batches in which something is left to do, whole, so that a resumed run has the same batches."""
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    return [item for batch in batches if not all(map(is_done, batch)) for item in batch]


def _is_sound(entry: Mapping[str, Any]) -> bool:
    """Whether an entry has what `FinishedResults.add` writes; of others the results are made again."""
    lists = (entry.get("names"), entry.get("files"))
    named = all(isinstance(one, list) and all(isinstance(name, str) for name in one) for one in lists)
    return named and isinstance(entry.get("made_of"), str)


def _state(source: object) -> object:
    """Path, size and time of a file; anything else unchanged."""
    if isinstance(source, list):
        return [_state(part) for part in source]
    if not isinstance(source, Path) or not source.is_file():
        return source
    status = source.stat()
    return os.path.abspath(source), status.st_size, status.st_mtime_ns


def _weights(path: Path) -> tuple[int, int]:
    """Total size and last change of a file, or of the files of a model's folder and of the folders in it."""
    files = [path] if path.is_file() else [file for pattern in ("*", "*/*") for file in path.glob(pattern)]
    states = [file.stat() for file in files if file.is_file()]
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)

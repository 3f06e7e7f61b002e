"""Append-only records of finished work: what was written before a kill is there after it."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any


class Journal:
    """JSON lines, one file for each process; of several entries with one key, the latest counts.

    Args:
        folder: Made when absent.
        name: The files are `<name>.<process>.jsonl`.
        process: Nobody else writes under this number at the same time.
    """

    def __init__(self, folder: str | Path, name: str, process: int = 0) -> None:
        self.folder, self.name = Path(folder), name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = (self.folder / f"{name}.{process}.jsonl").open("ab")
        if self._file.tell() > 0:
            self._file.write(b"\n")  # ends the line that a kill may have torn

    def append(self, key: str, **facts: Any) -> None:
        """Adds an entry; it is the operating system's by the time this returns."""
        line = json.dumps({"key": key, "time": time.time(), **facts}, ensure_ascii=False)
        with self._lock:
            self._file.write(line.encode() + b"\n")
            self._file.flush()

    def read(self) -> dict[str, dict[str, Any]]:
        """The latest entry of each key, by all processes of this and earlier runs; torn lines are passed over."""
        entries: dict[str, dict[str, Any]] = {}
        for path in sorted(self.folder.glob(f"{self.name}.*.jsonl")):
            for line in path.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                    key, when = entry["key"], entry["time"]
                except (ValueError, TypeError, KeyError):
                    continue
                if key not in entries or when >= entries[key]["time"]:
                    entries[key] = entry
        return entries

    def close(self) -> None:
        self._file.close()

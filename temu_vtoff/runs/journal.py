"""Append-only records of finished work, which survive a kill."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class Journal:
    """JSON lines, one file for each process; of several entries with one key, the latest counts.

    Args:
        folder: Folder of the files; created if it does not exist.
        name: Start of the file names, `<name>.<process>.jsonl`.
        process: Number of this process; no other process may write under it at the same time.
    """

    def __init__(self, folder: str | Path, name: str, process: int = 0) -> None:
        self.folder, self.name = Path(folder), name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._reported: set[Path] = set()  # files whose damage was logged
        self._path = self.folder / f"{name}.{process}.jsonl"
        self._file = self._path.open("ab", buffering=0)  # a buffer would be written again, and fail again, at the end
        if self._file.tell() > 0:
            self._file.write(b"\n")  # ends the line that a kill may have torn

    def append(self, key: str, **facts: Any) -> None:
        """Adds an entry, and returns when the operating system has it.

        Raises:
            OSError: The disk is full, for example.
        """
        line = json.dumps({"key": key, "time": time.time(), **facts}).encode() + b"\n"  # ASCII: names may be no UTF-8
        with self._lock:
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def read(self) -> dict[str, dict[str, Any]]:
        """The latest entry of each key, by all processes of this and earlier runs.

        Incomplete lines, which a kill leaves, are skipped. Damaged lines are skipped with a logged warning.
        """
        entries: dict[str, dict[str, Any]] = {}
        for path in sorted(self.folder.glob(f"{self.name}.*.jsonl")):
            damaged = 0
            for line in path.read_bytes().split(b"\n"):
                entry = _parse(line)
                if entry is None:
                    damaged += bool(line.strip()) and not _is_torn(line)
                elif entry["key"] not in entries or entry["time"] >= entries[entry["key"]]["time"]:
                    entries[entry["key"]] = entry
            if damaged and path not in self._reported:
                self._reported.add(path)
                logger.warning("%s: %d damaged lines are passed over; what they record is done again.", path, damaged)
        return entries

    def close(self) -> None:
        self._file.close()


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        return entry if isinstance(entry["key"], str) and isinstance(entry["time"], (int, float)) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _is_torn(line: bytes) -> bool:
    """Whether the line is the beginning of an entry."""
    head = b'{"key": "'
    return (line.startswith(head) or head.startswith(line)) and not line.endswith(b"}")

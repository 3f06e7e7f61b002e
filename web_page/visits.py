"""Who is here, what runs for them, and their files, which stay until the visit ends and go with it."""

import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from web_page.run import Run

GRACE = 30.0  # seconds that a visit outlives its connection: phones sleep, networks drop
# Seconds after which files that no visit uses are deleted, and visits of programs without a connection end.
IDLE = 3600.0


@dataclass(eq=False)
class Visit:
    """One visitor's stay.

    Attributes:
        folder: Holds a folder for each run.
        runs: All of them: the visitor may ask for several things at once.
        files: Uploads and pictures shown, which Gradio keeps beside the visits' folders.
        connections: Open ones that say that the visitor is here.
        seen: `time.monotonic()` of the last sign of life.
    """

    folder: Path
    runs: list[Run] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)
    connections: int = 0
    had_connection: bool = False
    seen: float = field(default_factory=time.monotonic)


class Visits:
    """The visits going on, by Gradio's session hash.

    Args:
        folder: Of uploads and results: what the environment variable GRADIO_TEMP_DIR names.
        grace: Seconds that a visit outlives its connection.
        kept: Names in `folder` that stay.
    """

    def __init__(self, folder: Path, grace: float = GRACE, kept: Iterable[str] = ()) -> None:
        self.folder, self.grace, self.kept = Path(os.path.realpath(folder)), grace, frozenset(kept)
        self._lock = threading.RLock()
        self._visits: dict[str, Visit] = {}

    def start(self, visitor: str | None) -> Run:
        """A new run with an empty folder; those before go on. None is a program that gives no session."""
        with self._lock:
            visit = self._visit(visitor or secrets.token_hex(16))
            visit.folder.mkdir(parents=True, exist_ok=True)
            run = Run(visit.folder / f"run_{len(visit.runs)}")
            run.folder.mkdir()
            visit.runs.append(run)
        return run

    def stop(self, visitor: str | None) -> bool:
        """Ends what runs for the visitor after the current steps; whether there was anything."""
        with self._lock:
            runs = self._visits[visitor].runs if visitor in self._visits else []
            going = [run for run in runs if not run.wait(0)]
        for run in going:
            run.stopped.set()
        return bool(going)

    def connect(self, visitor: str) -> None:
        """A connection that stays open as long as the visitor is here."""
        with self._lock:
            visit = self._visit(visitor)
            visit.connections += 1
            visit.had_connection = True

    def disconnect(self, visitor: str) -> None:
        """The end of such a connection; `sweep` ends the visit when no other comes."""
        with self._lock:
            visit = self._visit(visitor)
            visit.connections -= 1

    def claim(self, visitor: str | None, files: Iterable[Path]) -> None:
        """Keeps uploads and shown pictures as long as this visit lasts."""
        if visitor is None:
            return
        with self._lock:
            visit = self._visit(visitor)
            visit.files.update(file for file in files if not self._is_apart(file))

    def owns(self, visitor: str | None, folder: Path) -> bool:
        """Whether the folder holds results of this visitor."""
        with self._lock:
            visit = self._visits.get(visitor)
            return visit is not None and folder.is_relative_to(visit.folder)

    def leave(self, visitor: str) -> None:
        """Ends the visit: stops its runs and deletes its files, but for those that other visits use."""
        self.stop(visitor)
        with self._lock:
            visit = self._visits.pop(visitor, None)
            if visit is None:
                return
            others = {file for other in self._visits.values() for file in other.files}
            shutil.rmtree(visit.folder, ignore_errors=True)
            for file in visit.files - others:
                _delete(file)

    def sweep(self) -> None:
        """Ends the visits whose visitors have gone, and deletes old uploads that no visit uses."""
        now = time.monotonic()
        with self._lock:
            gone = [
                visitor
                for visitor, visit in self._visits.items()
                if visit.connections <= 0
                and now - visit.seen > (self.grace if visit.had_connection else IDLE)
                and (visit.had_connection or all(run.wait(0) for run in visit.runs))
            ]
            for visitor in gone:
                self.leave(visitor)
            used = {file for visit in self._visits.values() for file in visit.files}
            for folder, _, names in os.walk(self.folder):
                for file in (Path(folder, name) for name in names):
                    if file not in used and not self._is_apart(file) and _age(file) > IDLE:
                        _delete(file)

    def keep_tidy(self, every: float = 5.0) -> None:
        """Sweeps now and then, in a thread that ends with the process."""

        def target() -> None:
            while True:
                time.sleep(every)
                self.sweep()

        threading.Thread(target=target, daemon=True).start()

    def close(self, seconds: float) -> bool:
        """Stops all work and waits for it; whether all of it has ended by then."""
        end = time.monotonic() + seconds
        with self._lock:
            runs = [run for visit in self._visits.values() for run in visit.runs]
        for run in runs:
            run.stopped.set()
        return all(run.wait(end - time.monotonic()) for run in runs)

    def _visit(self, visitor: str) -> Visit:
        visit = self._visits.get(visitor)
        if visit is None:
            visit = self._visits[visitor] = Visit(self.folder / f"visit_{secrets.token_hex(16)}")
        visit.seen = time.monotonic()
        return visit

    def _is_apart(self, file: Path) -> bool:
        """Whether a file is no upload and no picture that Gradio keeps: those lie in folders of their own."""
        inside = file.relative_to(self.folder).parts if file.is_relative_to(self.folder) else ()
        return not inside or inside[0] in self.kept or inside[0].startswith("visit_")


def _delete(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
        file.parent.rmdir()  # of one upload; stays where another file lies there
    except OSError:
        pass


def _age(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return 0.0

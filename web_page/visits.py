"""Who is here and what runs for them: work in a thread that tells its steps and can be stopped, and its files."""

import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image


@dataclass(frozen=True)
class Step:
    """How far the work is: `share` in [0, 1], and how the picture looks by then, where that is known."""

    share: float
    text: str
    preview: Image.Image | None = None


@dataclass
class Run:
    """Work of one visitor. `stopped` asks it to end; it looks there after every step."""

    stopped: threading.Event = field(default_factory=threading.Event)
    _news: "queue.SimpleQueue[Step | None]" = field(default_factory=queue.SimpleQueue)
    _outcome: Any = None
    _error: BaseException | None = None

    def tell(self, step: Step) -> bool:
        """Passes a step on; False when the work should end."""
        self._news.put(step)
        return not self.stopped.is_set()

    def follow(self, work: Callable[[], Any]) -> Iterator[Step]:
        """Does the work in a thread and yields its steps as they are told; `result` has its outcome afterwards."""

        def target() -> None:
            try:
                self._outcome = work()
            except BaseException as error:  # raised again where the visitor can be told
                self._error = error
            finally:
                self._news.put(None)

        threading.Thread(target=target, daemon=True).start()
        yield from iter(self._news.get, None)

    def result(self) -> Any:
        """What the work returned.

        Raises:
            BaseException: What it raised.
        """
        if self._error is not None:
            raise self._error
        return self._outcome


class Visits:
    """The visits going on, by Gradio's session hash: the run of each and a folder for its latest results.

    Args:
        folder: Where the visits' folders are made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.realpath(folder))
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._folders: dict[str, Path] = {}

    def start(self, visitor: str) -> tuple[Run, Path]:
        """A new run and an empty folder for it; the files of the visitor's run before are deleted."""
        self.leave(visitor)
        run, folder = Run(), Path(tempfile.mkdtemp(dir=self.folder))
        with self._lock:
            self._runs[visitor], self._folders[visitor] = run, folder
        return run, folder

    def owns(self, visitor: str | None, folder: Path) -> bool:
        """Whether the folder holds this visitor's results."""
        with self._lock:
            return visitor is not None and folder.is_dir() and self._folders.get(visitor) == folder

    def stop(self, visitor: str) -> bool:
        """Ends the visitor's run after its current step; whether there was one."""
        with self._lock:
            run = self._runs.get(visitor)
        if run is not None:
            run.stopped.set()
        return run is not None

    def leave(self, visitor: str) -> None:
        """Stops the visitor's run and deletes its files."""
        self.stop(visitor)
        with self._lock:
            self._runs.pop(visitor, None)
            folder = self._folders.pop(visitor, None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

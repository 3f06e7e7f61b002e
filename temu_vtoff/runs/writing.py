"""Encodes and writes pictures in background threads; encoding a PNG takes a good part of the time to generate it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from PIL import Image

from temu_vtoff.pictures import save_picture


class PictureWriter:
    """A context manager; at its end, all pictures are on disk.

    Args:
        threads: Number of encoding threads.
        most_waiting: Largest number of pictures in memory; `write` waits for a free place.
    """

    def __init__(self, threads: int = 2, most_waiting: int = 32) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._waiting: deque[Future] = deque()
        self._most_waiting = most_waiting

    def write(
        self, picture: Image.Image, path: Path, then: Callable[[], None] | None = None, **options: object
    ) -> None:
        """
        Args:
            path: Its folder is made when absent.
            then: Called in the thread once the file is complete.
            options: Arguments of `save_picture`.

        Raises:
            OSError: An earlier picture could not be written.
        """
        while len(self._waiting) >= self._most_waiting:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, picture, path, then, options))

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
        if kind is None:
            for written in self._waiting:
                written.result()

    @staticmethod
    def _write(picture: Image.Image, path: Path, then: Callable[[], None] | None, options: dict[str, object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_picture(picture, path, **options)
        if then is not None:
            then()

"""The folder of one server's temporary files: deleted when the server ends, or by the next one when it was killed."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: folders of killed servers stay
    fcntl = None

PREFIX = "temu_vtoff_page_"
LOCK = ".lock"  # in the folder; held as long as the server lives
_YOUNG = 60.0  # seconds that a server may take from making its folder to holding the lock


@contextmanager
def server_folder() -> Iterator[Path]:
    """A new folder, deleted at the end; those that killed servers left are deleted at the start."""
    sweep_leftovers(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name,
        (Path(name) / LOCK).open("w") as lock,
    ):
        _hold(lock)
        yield Path(name)


def sweep_leftovers(parent: Path) -> None:
    """Deletes the folders of servers that live no more."""
    if fcntl is None:
        return
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or (time.time() - folder.stat().st_mtime < _YOUNG and not (folder / LOCK).exists()):
                continue
            with (folder / LOCK).open("a") as lock:
                if not _hold(lock):
                    continue
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # somebody else's, or just gone
            continue


def _hold(lock: IO[str]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

"""Files and folders written so that neither a kill nor a full disk leaves half of one behind."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Writes a text file under a temporary name and renames it, so that no reader meets half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def writable_folder(path: str | Path) -> Path:
    """The folder, made when absent.

    Raises:
        ValueError: It can't be made or written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the output folder {folder} can't be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"the output folder {folder} is not writable.")
    return folder

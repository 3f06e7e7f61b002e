"""Files and folders written so that neither a kill nor a full disk leaves half of one behind."""

import codecs
import functools
import hashlib
import os
import platform
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TEMPORARY = ".temu-"  # what the names of files being written begin with; then machine, process and a random part
_NAME = re.compile(r"\.temu-([0-9a-f]{8})-(\d+)-[0-9a-f]{32}(\.|$)")
_ABANDONED = 24 * 3600  # seconds without a change after which a temporary file of another machine has no writer
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_made: list[Path] = []  # folders


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends well, and is deleted otherwise.

    The file is on the disk before it is renamed, so that a power failure leaves the old one or the new one whole. The
    first file written to a folder removes the temporary files that killed processes left there.

    Args:
        path: Its folder exists. The temporary file has the same suffix and a short name of its own, because `path` may
            use up what the file system allows for a name.
    """
    path = Path(path)
    _sweep(path.parent)
    temporary = path.with_name(f"{_TEMPORARY}{_machine()}-{os.getpid()}-{uuid.uuid4().hex}{path.suffix[:16]}")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary), temporary):  # a full disk names no file, others the temporary one
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 text file whole or not at all.

    Lone surrogates, which stand for the bytes of file names that are no UTF-8, are written as escapes.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def read_text(path: str | Path) -> str:
    """A text file written by any program: UTF-8, UTF-16 or UTF-32 with or without byte order mark, or Windows-1252.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a text file, or one that can't be read.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}.") from error
    try:
        text = data.decode(_encoding(data))
    except UnicodeDecodeError:
        raise ValueError(f"{path} is damaged, or no text file.") from None
    if any(ord(sign) < 32 and sign not in "\t\n\r\f" for sign in text):
        raise ValueError(f"{path} is damaged, or no text file.")
    return text


def remove_leftovers(folder: str | Path) -> None:
    """Deletes all temporary files below a folder; only when nobody writes there any more."""
    for path in Path(folder).rglob(f"{_TEMPORARY}*"):
        path.unlink(missing_ok=True)


def writable_folder(path: str | Path) -> Path:
    """The folder, created if it does not exist; `remove_empty_folders` takes it back.

    Raises:
        ValueError: It can't be made or written.
    """
    folder = Path(path)
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the output folder {folder} can't be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"the output folder {folder} is not writable.")
    _made.extend(missing)
    return folder


def remove_empty_folders() -> None:
    """Removes the folders that `writable_folder` made in this process and that are still empty."""
    for folder in sorted(_made, key=lambda one: len(one.parts), reverse=True):
        with suppress(OSError):  # it holds something
            folder.rmdir()
    _made.clear()


@functools.lru_cache(1024)
def _sweep(folder: Path) -> None:
    """Deletes the temporary files in a folder whose processes have ended."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (name := _NAME.match(entry.name)) is None:
                continue
            with suppress(OSError):  # somebody else removes it at the same time
                here, unchanged = name[1] == _machine(), time.time() - entry.stat().st_mtime
                if unchanged > _ABANDONED or (here and not _is_running(int(name[2]))):
                    os.unlink(entry.path)


@functools.cache
def _machine() -> str:
    """A short name for what process numbers are unique in: this machine, or this container."""
    namespace = ""
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def _is_running(process: int) -> bool:
    if os.name == "nt":  # where os.kill ends processes
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        pass
    return True


def _encoding(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    if data and data[::2].count(0) > len(data) // 4:
        return "utf-16-be"
    if data and data[1::2].count(0) > len(data) // 4:
        return "utf-16-le"
    try:
        data.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        return "utf-8" if _was_utf8(data) else "cp1252"


def _was_utf8(data: bytes) -> bool:
    """Whether damaged UTF-8 is likelier than Windows-1252, in which nearly all bytes are letters: some of the letters
    are whole, or bytes are overwritten."""
    signs = data.decode("utf-8", "surrogateescape")
    return b"\xff\xff" in data or any(ord(sign) > 127 and not "\udc80" <= sign <= "\udcff" for sign in signs)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())

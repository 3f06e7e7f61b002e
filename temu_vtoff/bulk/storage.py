"""Folders on disks and in object stores, by one address: /data/photos, s3://bucket/photos, gs://bucket/photos."""

from __future__ import annotations

import posixpath
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from pyarrow import fs

from temu_vtoff.errors import ArgumentError

_SCHEMES = ("s3", "gs", "gcs", "hdfs", "abfs", "abfss", "file")


def is_address(text: str) -> bool:
    """Whether a text is the address of something in an object store, not a path."""
    return urlsplit(text).scheme in _SCHEMES


@dataclass(frozen=True)
class Storage:
    """A folder or file, and the file system that holds it; can be sent to other machines.

    Attributes:
        address: As the user gave it.
        filesystem: Of pyarrow.
        root: Path in the file system.
    """

    address: str
    filesystem: fs.FileSystem
    root: str

    @classmethod
    def at(cls, address: str, argument: str) -> Storage:
        """
        Raises:
            ArgumentError: No file system has such addresses, it doesn't answer, or the address holds a password.
        """
        if not is_address(address):
            return cls(address, fs.LocalFileSystem(), str(Path(address).absolute()))
        if urlsplit(address).password is not None:
            raise ArgumentError(
                f"{{{argument}}} holds a password, which would stand in results: give it by the environment, as "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
                argument,
            )
        try:
            filesystem, root = fs.FileSystem.from_uri(address)
        except Exception as error:  # pyarrow raises all kinds
            reason = " ".join(str(error).split())
            raise ArgumentError(f"{{{argument}}} {address} can't be opened: {reason}", argument) from error
        return cls(address, filesystem, root)

    def path(self, *parts: str) -> str:
        """The path of a file below the root."""
        return posixpath.join(self.root, *parts)

    def address_of(self, path: str) -> str:
        """The whole address of a file, by its path in the file system."""
        if not is_address(self.address):
            return path
        address = urlsplit(self.address)
        user = "" if address.username is None else f"{address.username}@"  # gs://anonymous@bucket
        return f"{address.scheme}://{user}{quote(path)}" + (f"?{address.query}" if address.query else "")

    def exists(self, *parts: str) -> bool:
        """Whether there is such a file or folder."""
        return self.filesystem.get_file_info(self.path(*parts)).type != fs.FileType.NotFound

    def files(self, suffixes: Sequence[str]) -> list[str]:
        """The paths of all files below the root with one of the suffixes, sorted, or the root itself if it is a file.

        Hidden files and files in hidden folders are left out.
        """
        if self.filesystem.get_file_info(self.root).type == fs.FileType.File:
            return [self.root] if self.root.lower().endswith(tuple(suffixes)) else []
        found = self.filesystem.get_file_info(fs.FileSelector(self.root, recursive=True, allow_not_found=True))
        paths = (entry.path for entry in found if entry.type == fs.FileType.File)
        return sorted(path for path in paths if path.lower().endswith(tuple(suffixes)) and "/." not in path)

    def relative(self, path: str) -> str:
        """A file's path below the root; the name if it is the root."""
        return posixpath.relpath(path, self.root) if path != self.root else posixpath.basename(path)

    def read_bytes(self, path: str) -> bytes:
        """The content of a file, by its path in the file system."""
        with self.filesystem.open_input_stream(path) as file:
            return file.read()

    def write_bytes(self, name: str, data: bytes) -> None:
        """Writes a file below the root whole or not at all; folders are made."""
        path = self.path(name)
        self.filesystem.create_dir(posixpath.dirname(path), recursive=True)
        temporary = posixpath.join(posixpath.dirname(path), f".temu-{uuid.uuid4().hex}")
        try:
            with self.filesystem.open_output_stream(temporary) as file:
                file.write(data)
            self.filesystem.move(temporary, path)
        except BaseException:
            if self.filesystem.get_file_info(temporary).type != fs.FileType.NotFound:
                self.filesystem.delete_file(temporary)
            raise

"""A collection of photos as a Ray datasource of rows without decoded pictures; what can't be read becomes a row too.

Ray's own readers decode pictures without turning them by EXIF, and end the run at the first damaged shard.
"""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask
from webdataset.tariterators import group_by_keys, tar_file_expander

from temu_vtoff.bulk.job import BulkJob
from temu_vtoff.bulk.rows import ROW, Photo, table_of
from temu_vtoff.bulk.storage import Storage
from temu_vtoff.datasets import DATASETS, open_dataset
from temu_vtoff.errors import ArgumentError
from temu_vtoff.pictures.addresses import is_address
from temu_vtoff.pictures.downloading import fetch_bytes
from temu_vtoff.pictures.formats import PICTURE_SUFFIXES
from temu_vtoff.serving import describe

ROWS = 8  # photos of a block; the stages work on blocks
_PHOTOS_PER_TASK = 1024
_SUFFIXES = {"parquet": (".parquet", ".pq"), "webdataset": (".tar",), "folder": PICTURE_SUFFIXES}
Item = TypeVar("Item")


class PhotoSource(Datasource):
    """The photos of a job.

    Raises:
        ArgumentError: Nothing of that kind is there, or a Parquet file lacks a column.
        FileNotFoundError: A dataset's root or list is missing.
    """

    def __init__(self, job: BulkJob) -> None:
        super().__init__()
        self.tasks: list[Callable[[], Iterator[pa.Table]]]
        if job.input_kind in DATASETS:
            items = open_dataset(job.input_kind, job.input, phase=job.phase).items
            photos = [(item.key, str(item.person.absolute()), item.category) for item in items]
            self.tasks = [partial(_named_photos, part) for part in _batches(photos, _PHOTOS_PER_TASK)]
            return
        storage = Storage.at(job.input, "input")
        kind, files = _files(storage, job.input_kind)
        if kind == "folder":
            photos = _folder_photos(storage, files)
            self.tasks = [partial(_named_photos, part) for part in _batches(photos, _PHOTOS_PER_TASK)]
            return
        if kind == "parquet":
            _check_columns(storage, files[0], job)
        read = partial(read_parquet, job=job) if kind == "parquet" else read_shard
        self.tasks = [partial(_blocks, read, storage, file) for file in files]

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        metadata = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        return [ReadTask(task, metadata, ROW) for task in self.tasks]


def read_shard(storage: Storage, path: str) -> Iterator[Photo]:
    """The photos of a WebDataset shard: a picture, and in `json` its category and caption.

    A damaged shard yields the photos before the damage, then a row with the error.
    """
    name, count = storage.relative(path), 0
    try:
        with storage.filesystem.open_input_stream(path) as stream:
            for sample in group_by_keys(tar_file_expander([{"url": name, "stream": stream}])):
                count += 1
                yield _of_sample(sample)
    except Exception as error:  # of tarfile, webdataset, the file system
        reason = describe(error.__cause__ or error) if not error.args else " ".join(str(error.args[0]).split())
        yield Photo(name, error=f"{name} is damaged after {count} photos: {reason}.")


def read_parquet(storage: Storage, path: str, *, job: BulkJob) -> Iterator[Photo]:
    """The photos of a Parquet file: id, bytes or path or URL, and perhaps category and caption."""
    name = storage.relative(path)
    try:
        with storage.filesystem.open_input_file(path) as stream:
            file = pq.ParquetFile(stream)
            columns = _columns(file.schema_arrow, job)
            for batch in file.iter_batches(batch_size=ROWS, columns=list(columns.values())):
                for row in batch.to_pylist():
                    values = {field: row[column] for field, column in columns.items()}
                    photo = values.pop("photo")
                    kind = {"photo": photo} if isinstance(photo, bytes) else {"place": photo}
                    yield Photo(**values | {"id": str(values["id"])} | kind)
    except Exception as error:  # of pyarrow, the file system
        yield Photo(name, error=f"{name} can't be read: {describe(error)}")


def _columns(schema: pa.Schema, job: BulkJob) -> dict[str, str]:
    """The columns of a Parquet file by the fields of `Photo`.

    Raises:
        ArgumentError: One is missing.
    """
    for argument in ("id_column", "photo_column"):
        if getattr(job, argument) not in schema.names:
            raise ArgumentError(
                f"no column {getattr(job, argument)!r} ({{{argument}}}); there are {', '.join(schema.names)}.", argument
            )
    columns = {"id": job.id_column, "photo": job.photo_column, "category": job.category_column, "caption": "caption"}
    return {field: column for field, column in columns.items() if column in schema.names}


def _check_columns(storage: Storage, path: str, job: BulkJob) -> None:
    """
    Raises:
        ArgumentError: The first file lacks a column; further ones become errors of their own.
    """
    try:
        with storage.filesystem.open_input_file(path) as stream:
            schema = pq.read_schema(stream)
    except (OSError, pa.ArrowException):
        return  # damaged: a row says so
    try:
        _columns(schema, job)
    except ArgumentError as error:
        raise ArgumentError(f"{storage.relative(path)} has {error.sentence}", *error.arguments) from None


def _of_sample(sample: dict[str, Any]) -> Photo:
    """A photo of a WebDataset sample."""
    photo = Photo(sample["__key__"])
    pictures = [suffix for suffix in sample if f".{suffix.rsplit('.', 1)[-1]}" in PICTURE_SUFFIXES]
    if not pictures:
        photo.fail(f"{photo.id} has no picture, only {', '.join(key for key in sample if not key.startswith('__'))}.")
        return photo
    photo.photo, photo.place = sample[pictures[0]], f"{photo.id}.{pictures[0]}"
    try:
        facts = json.loads(sample.get("json", b"{}"))
        photo.category, photo.caption = facts.get("category"), facts.get("caption")
    except (ValueError, AttributeError, RecursionError):
        photo.fail(f"{photo.id}.json is damaged.")
    return photo


def _files(storage: Storage, kind: str | None) -> tuple[str, list[str]]:
    """The kind of input and its files.

    Raises:
        ArgumentError: There are none.
    """
    for each, suffixes in _SUFFIXES.items():
        if kind in (None, each) and (files := storage.files(suffixes)):
            return each, files
    wanted = {"parquet": "Parquet files", "webdataset": "WebDataset shards (.tar)", "folder": "pictures"}
    what = wanted.get(kind, "pictures, Parquet files or WebDataset shards (.tar)")
    where = "holds" if storage.exists() else "does not exist; it should hold"
    raise ArgumentError(f"{{input}} {storage.address} {where} {'no ' * (where == 'holds')}{what}.", "input")


def _folder_photos(storage: Storage, files: Sequence[str]) -> list[tuple[str, str, None]]:
    """Id, place and no category of each file; ids keep the suffix where two files differ in nothing else."""
    names = [storage.relative(file) for file in files]
    count = Counter(posixpath.splitext(name)[0] for name in names)
    stems = [posixpath.splitext(name)[0] for name in names]
    ids = [stem if count[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]
    return [(photo, storage.address_of(file), None) for photo, file in zip(ids, files, strict=True)]


def _named_photos(photos: Sequence[tuple[str, str, str | None]]) -> Iterator[pa.Table]:
    """Blocks of photos that the first stage fetches."""
    for part in _batches(photos, ROWS):
        yield table_of([Photo(name, place=place, category=category) for name, place, category in part])


def _blocks(read: Callable[..., Iterator[Photo]], storage: Storage, path: str) -> Iterator[pa.Table]:
    for part in _batches(read(storage, path), ROWS):
        yield table_of(part)


def fetch(place: str) -> bytes:
    """The content of a photo at a path, an address in an object store, or a web address.

    Raises:
        ValueError: A web address can't be fetched, or is too large or too slow.
        OSError: It can't be had.
    """
    if is_address(place):
        return fetch_bytes(place, private=True)  # the collection's owner names the hosts, often private ones
    storage = Storage.at(place, "input")
    return storage.read_bytes(storage.root)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    items = iter(items)
    while part := list(islice(items, size)):
        yield part

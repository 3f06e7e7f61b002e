"""A collection of photos as a Ray datasource of rows without decoded pictures; what can't be read becomes a row too.

Ray's own readers decode pictures without turning them by EXIF, and end the run at the first damaged shard.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask
from webdataset.tariterators import group_by_keys

from temu_vtoff.bulk.job import BulkJob
from temu_vtoff.bulk.rows import ROW, Photo, table_of
from temu_vtoff.bulk.storage import Storage
from temu_vtoff.datasets import DATASETS, open_dataset
from temu_vtoff.errors import ArgumentError
from temu_vtoff.pictures.addresses import is_address
from temu_vtoff.pictures.downloading import fetch_bytes
from temu_vtoff.pictures.formats import PICTURE_SUFFIXES
from temu_vtoff.serving import describe

ROWS = 4  # photos of a block, at least; the stages work on blocks
_PHOTOS_PER_TASK = 1024
_META = r"__[^/]*__($|/)"  # names of what webdataset keeps about a shard itself
_SUFFIXES = {"parquet": (".parquet", ".pq"), "webdataset": (".tar",), "folder": PICTURE_SUFFIXES}
Item = TypeVar("Item")


class PhotoSource(Datasource):
    """The photos of a job.

    Args:
        job: The run.
        rows: Photos of a table; a read task begins with a table of its own.

    Raises:
        ArgumentError: Nothing of that kind is there, or a Parquet file lacks a column.
        FileNotFoundError: A dataset's root or list is missing.
    """

    def __init__(self, job: BulkJob, rows: int = ROWS) -> None:
        super().__init__()
        tables = partial(_tables, rows)
        self.tasks: list[Callable[[], Iterator[pa.Table]]]
        if job.input_kind in DATASETS:
            self.tasks = [partial(tables, part) for part in _batches(_dataset_photos(job), _PHOTOS_PER_TASK)]
            return
        storage = Storage.at(job.input, "input")
        kind, files = _files(storage, job.input_kind)
        if kind == "folder":
            if job.dresses:
                raise ArgumentError(
                    "{stages} try_on needs a garment for each photo, which a folder can't name: give {input} of "
                    "another kind.",
                    *("stages", "input"),
                )
            self.tasks = [partial(tables, part) for part in _batches(_folder_photos(storage, files), _PHOTOS_PER_TASK)]
            return
        if kind == "parquet":
            _check_columns(storage, files[0], job)
        read = partial(read_parquet if kind == "parquet" else read_shard, job=job)
        self.tasks = [partial(_file_tables, rows, read, storage, file) for file in files]

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        metadata = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        return [ReadTask(task, metadata, ROW) for task in self.tasks]


def read_shard(storage: Storage, path: str, *, job: BulkJob) -> Iterator[Photo]:
    """The photos of a WebDataset shard: a picture, and in `json` its category and caption.

    For try-on a sample also holds a picture of the kind `garment.jpg` or `garment_from.jpg`.
    A damaged shard yields the photos before the damage, then a row with the error.
    """
    name, count = storage.relative(path), 0
    try:
        with storage.filesystem.open_input_stream(path) as stream:
            for sample in group_by_keys(_members(name, stream)):
                count += 1
                yield _of_sample(sample, job)
    except Exception as error:  # of tarfile, webdataset, the file system
        reason = describe(error.__cause__ or error) if not error.args else " ".join(str(error.args[0]).split())
        yield Photo(name, error=f"{name} is damaged after {count} photos: {reason}.")


class _Member(tarfile.TarInfo):
    """A file in an archive. `tarfile` takes a damaged or missing head of a further file for the archive's end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise  # the mark that every sound archive ends with
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("unexpected end of data" if archive.offset else "it is no archive") from error


def _members(url: str, stream: pa.NativeFile) -> Iterator[dict[str, Any]]:
    """The files of an archive, as webdataset groups them."""
    with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Member) as archive:
        for member in archive:
            if member.isfile() and not re.match(_META, member.name):
                yield {"fname": member.name, "data": archive.extractfile(member).read(), "__url__": url}


def read_parquet(storage: Storage, path: str, *, job: BulkJob) -> Iterator[Photo]:
    """The photos of a Parquet file: id, bytes or path or URL, and perhaps category, caption, garment and joints."""
    name = storage.relative(path)
    try:
        with storage.filesystem.open_input_file(path) as stream:
            file = pq.ParquetFile(stream)
            columns = _columns(file.schema_arrow, job)
            for batch in file.iter_batches(batch_size=ROWS, columns=list(columns.values())):
                for row in batch.to_pylist():
                    yield _of_row({field: row[column] for field, column in columns.items()}, job)
    except Exception as error:  # of pyarrow, the file system
        yield Photo(name, error=f"{name} can't be read: {describe(error)}")


def _columns(schema: pa.Schema, job: BulkJob) -> dict[str, str]:
    """The columns of a Parquet file by what is read from them.

    Raises:
        ArgumentError: One is missing.
    """
    there = f"there are {', '.join(schema.names)}."
    for argument in ("id_column", "photo_column"):
        if getattr(job, argument) not in schema.names:
            raise ArgumentError(f"no column {getattr(job, argument)!r} ({{{argument}}}); {there}", argument)
    columns = {"id": job.id_column, "photo": job.photo_column, "category": job.category_column, "caption": "caption"}
    if job.dresses:
        garments = {"garment": job.garment_column, "garment_from": job.garment_from_column}
        if not set(garments.values()) & set(schema.names):
            raise ArgumentError(
                f"no column {job.garment_column!r} ({{garment_column}}) or {job.garment_from_column!r} "
                f"({{garment_from_column}}); {there}",
                *("garment_column", "garment_from_column"),
            )
        columns |= {**garments, "joints": "joints"}
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


def _of_row(values: dict[str, Any], job: BulkJob) -> Photo:
    """A photo of a Parquet row, by what `_columns` finds."""
    texts = {name: values[name] for name in ("category", "caption", "joints") if values.get(name) is not None}
    photo = Photo(str(values["id"]), **_content(values["photo"], "photo", "place"), **texts)
    if values["id"] is None or values["photo"] is None:
        photo.fail(f"a row without {'an id' if values['id'] is None else 'a photo'}.")
    if job.dresses:
        _give(photo, values.get("garment"), values.get("garment_from"), job)
    return photo


def _give(photo: Photo, garment: bytes | str | None, worn: bytes | str | None, job: BulkJob) -> None:
    """The garment that the photo's person puts on: a product picture, or the photo of somebody who wears it."""
    photo.garment_is_worn = garment is None
    if garment is None and worn is None:
        photo.fail(f"{photo.id} has no garment to put on.")
    elif garment is None and "try_off" not in job.stages:
        photo.fail(f"the garment of {photo.id} is worn by somebody, and the stages leave out try_off.")
    for name, value in _content(worn if garment is None else garment, "garment", "garment_place").items():
        setattr(photo, name, value)


def _content(value: bytes | str | None, data: str, place: str) -> dict[str, Any]:
    """A cell's content by the attribute that holds it: file content, or the place of a file."""
    return {data: value} if isinstance(value, bytes) else {place: value}


def _of_sample(sample: dict[str, Any], job: BulkJob) -> Photo:
    """A photo of a WebDataset sample."""
    photo = Photo(sample["__key__"])
    pictures: dict[str, list[str]] = {"": [], "garment": [], "garment_from": []}  # keys, by what comes before the dot
    for key in sample:
        of, _, suffix = key.rpartition(".")
        if f".{suffix}" in PICTURE_SUFFIXES and of in pictures:
            pictures[of].append(key)
    if not pictures[""]:
        photo.fail(f"{photo.id} has no picture, only {', '.join(key for key in sample if not key.startswith('__'))}.")
        return photo
    photo.photo, photo.place = sample[pictures[""][0]], f"{photo.id}.{pictures[''][0]}"
    if job.dresses:
        garment, worn = (next((sample[key] for key in pictures[of]), None) for of in ("garment", "garment_from"))
        _give(photo, garment, worn, job)
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


def _folder_photos(storage: Storage, files: Sequence[str]) -> list[Photo]:
    """A photo for each file; ids keep the suffix where two files differ in nothing else."""
    names = [storage.relative(file) for file in files]
    count = Counter(posixpath.splitext(name)[0] for name in names)
    stems = [posixpath.splitext(name)[0] for name in names]
    ids = [stem if count[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]
    return [Photo(photo, place=storage.address_of(file)) for photo, file in zip(ids, files, strict=True)]


def _dataset_photos(job: BulkJob) -> list[Photo]:
    """The persons of a dataset's list, for try-on with the garments and joints."""
    dataset = open_dataset(job.input_kind, job.input, phase=job.phase, order=job.order)
    photos = []
    for item in dataset.items:
        photo = Photo(item.key, place=str(item.person.absolute()), category=item.category)
        if job.dresses:
            photo.garment_place = str(item.garment.absolute())
            photo.joints = str(dataset.joints_file(item).absolute()) if dataset.has_joints(item) else None
        photos.append(photo)
    return photos


def rows_of_block(batch_size: int) -> int:
    """Photos of a block: whole batches. Results are written by whole blocks, so that a resumed run, which reads only
    what is not finished, sends the same photos together through a model."""
    return batch_size * math.ceil(ROWS / batch_size)


def _tables(rows: int, photos: Iterable[Photo]) -> Iterator[pa.Table]:
    """The photos, of which many are only named; the first stage fetches them."""
    for part in _batches(photos, rows):
        yield table_of(part)


def _file_tables(rows: int, read: Callable[..., Iterator[Photo]], storage: Storage, path: str) -> Iterator[pa.Table]:
    yield from _tables(rows, read(storage, path))


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

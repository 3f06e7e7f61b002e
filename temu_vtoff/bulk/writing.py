"""What a bulk run leaves: a table of all garments, and their pictures in it, in shards beside it, or in a folder.

OUTPUT/data/*.parquet       one row for each garment: id, name, category, caption, error, ...
OUTPUT/data/*.tar           with WebDataset: the pictures of the table beside it, each with its row as json
OUTPUT/pictures/<name>.png  with a folder; of try-on, <name>_try_on.png
OUTPUT/checkpoint/          ids of what is finished, by Ray
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from ray.data.block import BlockAccessor
from ray.data.datasource import BlockBasedFileDatasink
from webdataset import TarWriter

from temu_vtoff.bulk.job import BulkJob
from temu_vtoff.bulk.rows import Photo, Piece, photos_of
from temu_vtoff.bulk.storage import Storage
from temu_vtoff.errors import ArgumentError

RESULT = pa.schema(
    {
        "id": pa.string(),
        "name": pa.string(),  # unique: the id, with the category where all garments were asked for
        "category": pa.string(),
        "caption": pa.string(),
        "labels": pa.list_(pa.string()),  # of the segmenter, that make up the mask
        "warnings": pa.string(),
        "seed": pa.uint64(),
        "quality": pa.float64(),
        "doubts": pa.list_(pa.string()),
        "file": pa.string(),  # of the picture, below OUTPUT or in the shard
        "try_on_file": pa.string(),
        "error": pa.string(),
        "mask": pa.large_binary(),  # PNG
        "region": pa.large_binary(),  # PNG, where try-on has repainted the photo
        "picture": pa.large_binary(),  # file content, only with Parquet
        "try_on": pa.large_binary(),  # PNG of the person wearing the garment, only with Parquet
    }
)
PICTURES = {"picture": "file", "try_on": "try_on_file"}  # their content, and their files


class GarmentSink(BlockBasedFileDatasink):
    """Writes blocks of rows; pictures first, then the table that lists them.

    Args:
        output: Where to.
        kind: One of `OUTPUT_KINDS`.
        suffix: Of the pictures, with its dot.
        rows_per_file: Least number of photos in a file, as far as there are so many.
    """

    def __init__(self, output: Storage, kind: str, suffix: str, rows_per_file: int) -> None:
        super().__init__(
            output.path("data"),
            filesystem=output.filesystem,
            file_format="parquet",
            min_rows_per_file=rows_per_file,
        )
        self.output, self.kind, self.suffix = output, kind, suffix

    def open_output_stream(self, path: str) -> pa.NativeFile:
        self._table = path
        return super().open_output_stream(path)

    def write_block_to_file(self, block: BlockAccessor, file: pa.NativeFile) -> None:
        results = [result for photo in photos_of(block.to_arrow()) for result in results_of(photo, self.suffix)]
        if self.kind == "folder":
            for result in results:
                for content, name in PICTURES.items():
                    if (picture := result.pop(content)) is not None:
                        result[name] = f"pictures/{result[name]}"
                        self.output.write_bytes(result[name], picture)
        elif self.kind == "webdataset":
            with self.filesystem.open_output_stream(self._table.removesuffix(".parquet") + ".tar") as shard:
                _write_shard(results, shard)
        pq.write_table(pa.Table.from_pylist(results, RESULT), file)


def results_of(photo: Photo, suffix: str) -> Iterator[dict[str, Any]]:
    """The rows of a photo's garments, or one that says why there are none."""
    if photo.error is not None or not photo.pieces:
        error = photo.error if photo.error is not None else "no stage served it."
        row = {"id": photo.id, "name": photo.id, "category": photo.category, "error": error}
        yield dict.fromkeys(RESULT.names) | row
        return
    for piece in photo.pieces:
        yield _result(photo, piece, suffix)


def _result(photo: Photo, piece: Piece, suffix: str) -> dict[str, Any]:
    garment, facts, fitter = piece.garment, piece.facts, photo.fitter
    warnings = [*([garment.note] if garment.note else []), *garment.warnings, *(fitter.warnings if fitter else [])]
    return {
        "id": photo.id,
        "name": garment.name,
        "category": garment.category,
        "caption": garment.caption,
        "labels": list(garment.labels),
        "warnings": " ".join(warnings) or None,
        "seed": facts.get("seed"),
        "quality": facts.get("score"),
        "doubts": facts.get("doubts"),
        "file": None if piece.picture is None else file_name(garment.name) + suffix,
        "try_on_file": None if piece.worn is None else f"{file_name(garment.name)}_try_on.png",
        "error": None if garment.error is None else str(garment.error),
        "mask": garment.mask_png,
        "region": None if fitter is None else fitter.region,
        "picture": piece.picture,
        "try_on": piece.worn,
    }


def file_name(name: str) -> str:
    """A garment's name as a relative path that every file system and WebDataset take: without dots."""
    parts = [re.sub(r"[^\w=@+,-]", "_", part) for part in name.split("/")]
    return "/".join(part for part in parts if part) or "_"


def _write_shard(results: list[dict[str, Any]], file: pa.NativeFile) -> None:
    """The pictures of the rows; rows without one are in the table alone."""
    with TarWriter(file, encoder=False, mtime=0) as shard:
        for result in results:
            suffix = "" if result.get("file") is None else result["file"].rsplit(".", 1)[1]
            contents = {suffix: "picture", "mask.png": "mask", "try_on.png": "try_on", "region.png": "region"}
            if result["picture"] is None and result["try_on"] is None:
                continue
            parts = {suffix: result.pop(name) for suffix, name in contents.items()}
            sample = {suffix: part for suffix, part in parts.items() if part is not None}
            facts = {name: value for name, value in result.items() if value is not None}
            shard.write({"__key__": file_name(result["name"]), **sample, "json": json.dumps(facts).encode()})


@dataclass(frozen=True)
class Counts:
    """What lies in the output.

    Attributes:
        photos: Distinct ids.
        garments: Rows without an error.
        pictures: Product pictures and pictures of try-on.
        failures: Names and errors of the others.
        repeated: Names that stand there more than once, because the input has them so.
    """

    photos: int
    garments: int
    pictures: int
    failures: dict[str, str]
    repeated: list[str]


def count_results(output: Storage) -> Counts:
    """Counts what all runs with this output have written."""
    if not output.exists("data"):
        return Counts(0, 0, 0, {}, [])
    files = Storage(output.address, output.filesystem, output.path("data")).files((".parquet",))
    table = ds.dataset(files, schema=RESULT, filesystem=output.filesystem).to_table(
        ["id", "name", *PICTURES.values(), "error"]
    )
    failed = table.filter(pa.compute.is_valid(table["error"]))
    names = table["name"].value_counts().to_pylist() if table.num_rows else []
    return Counts(
        photos=len(table["id"].unique()),
        garments=table.num_rows - failed.num_rows,
        pictures=sum(table.num_rows - table[file].null_count for file in PICTURES.values()),
        failures=dict(zip(failed["name"].to_pylist(), failed["error"].to_pylist(), strict=True)),
        repeated=[each["values"] for each in names if each["counts"] > 1],
    )


def job_settings(job: BulkJob, options: Any, output: Storage) -> None:
    """Keeps the settings that results depend on beside them.

    Raises:
        ArgumentError: The output was begun with others.
    """
    settings = {"stages": list(job.stages), "category": job.category, "seed": job.seed, "kind": job.output_kind}
    settings |= {"models": repr(options)}
    settings |= {name: getattr(job, name) for name in ("paste", "any_garment", "order") if job.dresses}
    if not job.score:
        settings["score"] = False
    if job.by_vllm or job.caption_server is not None:
        settings["captions"] = "vllm" if job.by_vllm else "server"
    data = json.dumps(settings, indent=1).encode()
    if output.exists("job.json"):
        if output.read_bytes(output.path("job.json")) != data:
            raise ArgumentError(
                f"{output.address} was begun with other settings (job.json has them): name another {{output}}.",
                "output",
            )
        return
    output.write_bytes("job.json", data)

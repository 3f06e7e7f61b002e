"""Bulk runs on a Ray of this machine: killed and resumed; a full disk; captions by a server and by vLLM; try-on."""

import io
import json
import os
import pickle
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from temu_vtoff import Options, TryOff
from temu_vtoff.bulk.job import BulkJob
from temu_vtoff.bulk.rows import photo_seed
from temu_vtoff.stages.tryon_options import TryOnOptions
from tests.bulk_jobs import Task
from tests.object_store import object_store
from tests.picture_server import png
from tests.script_processes import ROOT, contents, kill_when, python, run_python, start_python
from tests.test_caption_server import Server, completion, ok
from tests.tiny_datasets import draw_person, write_vitonhd

PHOTOS = 24  # three blocks, so that the first file is written before the last photos are made
SEED, STEPS = 7, 2
EMPTY, COMPARED = "p03", "p20"


@pytest.fixture(scope="module")
def options(models: Path) -> Options:
    pipe, segmenter = str(models / "pipe"), str(models / "segformer")
    return Options(base=pipe, segmenter=segmenter, device="cpu", num_inference_steps=STEPS)


def write_photos(folder: Path) -> Path:
    folder.mkdir()
    for number in range(PHOTOS):
        draw_person(f"{number:06d}").save(folder / f"p{number:02d}.png")
    (folder / f"{EMPTY}.png").write_bytes(b"")
    return folder


def test_a_killed_run_is_completed_by_another_number_of_actors(options: Options, tmp_path: Path) -> None:
    photos, output = write_photos(tmp_path / "photos"), tmp_path / "out"
    command = ["inference_bulk.py", "--input", photos, "--output", output, "--stages", "segment", "try_off"]
    command += ["--pretrained_model_name_or_path", options.base, "--segmentation_model", options.segmenter]
    command += ["--device", "cpu", "--num_inference_steps", STEPS, "--seed", SEED]
    command = [*map(str, command), "--num_cpus", "2", "--rows_per_file", "2"]
    errors = tmp_path / "errors"
    finished: list[str] = []  # files whose ids Ray has kept when the driver is killed

    def has_begun() -> bool:
        finished[:] = [path.name for path in output.glob("checkpoint/*_??????.parquet")]
        return bool(finished)

    driver = start_python([*command, "--actors", "try_off=1"], ROOT, tmp_path / "printed", errors)
    assert kill_when(driver, has_begun), errors.read_text()
    kept = {name: (output / "data" / name).read_bytes() for name in finished}

    answer = python([*command, "--actors", "try_off=2"], ROOT, seconds=240)
    assert answer.returncode == 1, answer.stderr
    assert f"{PHOTOS} photos, {PHOTOS - 1} garments, {PHOTOS - 1} pictures, 1 failed" in answer.stdout
    assert answer.stderr == f"{EMPTY}: {EMPTY} is empty: 0 bytes.\n"

    written = contents(output / "data", "*.parquet")
    assert kept.items() < written.items()  # what was finished is not made a second time
    rows = {row["id"]: row for name in written for row in pq.read_table(output / "data" / name).to_pylist()}
    ids = [name for table in written for name in pq.read_table(output / "data" / table)["id"].to_pylist()]
    assert sorted(ids) == [f"p{number:02d}" for number in range(PHOTOS)]
    assert [name for name in ids if rows[name]["error"] is not None] == [EMPTY]
    assert rows[EMPTY]["error"] == f"{EMPTY} is empty: 0 bytes." and rows[EMPTY]["picture"] is None
    assert rows[COMPARED]["picture"] == picture_of(options, photos / f"{COMPARED}.png")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB with room for another folder, but not for results."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]).returncode:
        pytest.skip("only root may mount a small disk")
    (disk / "filler").write_bytes(bytes(236 * 2**10))
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture
def s3() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A bucket with three photos, one of them empty."""
    with object_store("bucket") as (query, objects):
        objects |= {f"photos/p{number}.png": png(draw_person(f"{number:06d}")) for number in range(2)}
        objects["photos/torn.png"] = b""
        yield query, objects


def test_jobs_of_all_sorts(options: Options, tmp_path: Path, small_disk: Path, s3: tuple) -> None:
    """One Ray for them all: starting it and the actors is what takes time."""
    server = Server(ok(completion("A shirt with long sleeves.")))
    vitonhd, (query, objects) = write_vitonhd(tmp_path / "vitonhd", test=3), s3
    tryon = TryOnOptions(
        tryon=str(ROOT / "tests/golden_tryon"), segmenter=options.segmenter, device="cpu", num_inference_steps=1
    )
    dressed = BulkJob(
        *(str(vitonhd), str(small_disk / "out")),
        **{"input_kind": "vitonhd", "order": "unpaired", "stages": ("segment", "try_on"), "any_garment": True},
    )
    served = BulkJob(
        *(str(vitonhd), str(tmp_path / "served")),
        **{"input_kind": "vitonhd", "stages": ("segment", "caption"), "caption_server": server.api_base},
    )
    asked = BulkJob(
        *(f"s3://bucket/photos?{query}", f"s3://bucket/asked?{query}"),
        **{"stages": ("segment", "caption"), "caption_engine": "vllm", "category": "all"},
    )
    tasks = [Task(dressed, tryon), Task(dressed, tryon, small_disk / "filler"), Task(served, options)]
    (tmp_path / "tasks").write_bytes(pickle.dumps([*tasks, Task(asked, options)]))
    printed = run_python(["-m", "tests.bulk_jobs", tmp_path / "tasks"], ROOT)
    full, whole, by_server, by_vllm = map(json.loads, printed.splitlines())

    assert full["error"] == f"the disk or your share of it is full: {small_disk / 'out'}."
    assert (whole["photos"], whole["garments"], whole["pictures"]) == (3, 3, 3) and not whole["repeated"]
    (row, *_) = rows_of(small_disk / "out")
    assert row["id"].count("_00_") == 1, "person and garment of the unpaired list"
    with Image.open(io.BytesIO(row["try_on"])) as worn:
        assert worn.size == draw_person("000000").size

    assert by_server["garments"] == 3 and by_server["served"] == {"segment": 3, "caption": 3} and server.asked == 3
    assert {row["caption"] for row in rows_of(tmp_path / "served")} == {"a shirt with long sleeves"}

    assert by_vllm["photos"] == 3 and list(by_vllm["failures"].values()) == ["torn is empty: 0 bytes."]
    assert by_vllm["garments"] > 2 and by_vllm["served"]["segment"] == 3
    (table,) = [data for key, data in objects.items() if re.fullmatch(r"asked/data/.*\.parquet", key)]
    rows = pq.read_table(io.BytesIO(table)).to_pylist()
    captions = [row["caption"] for row in rows if row["error"] is None]
    assert all(caption.startswith("a garment of ") for caption in captions)


def rows_of(output: Path) -> list[dict]:
    return pq.read_table(output / "data").to_pylist()


LIMITED = """
import json, re, sys
from temu_vtoff import Options, TryOff
from temu_vtoff.bulk.job import BulkJob
from temu_vtoff.bulk.rows import Photo
from temu_vtoff.bulk.actor import limit_memory
from temu_vtoff.bulk.stages import Segment

stage = object.__new__(Segment)  # without Ray's ledger
stage.job, stage.options = BulkJob("in", "out"), Options(segmenter=sys.argv[1], device="cpu")
stage.toolkit = TryOff(stage.options, keep_loaded=True)
photos = [Photo(name, photo=open(name, "rb").read()) for name in ("large.png", "small.png")]
stage.toolkit.segmenter()
used = int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 2**20
limit_memory(used + 0.1)
stage._serve(photos)
print(json.dumps([[photo.error, len(photo.pieces)] for photo in photos]))
"""


def test_a_photo_that_needs_too_much_memory_is_an_error_of_its_own(options: Options, tmp_path: Path) -> None:
    Image.new("RGB", (6000, 6000)).save(tmp_path / "large.png")  # 144 MB, decoded
    draw_person("000000").save(tmp_path / "small.png")
    (large, small) = json.loads(run_python(["-c", LIMITED, options.segmenter], tmp_path))
    assert large == ["large.png can't be read as a picture: the memory did not suffice.", 0]
    assert small == [None, 1]


def picture_of(options: Options, photo: Path) -> bytes:
    """The file content of the picture that the library makes of a photo alone."""
    toolkit = TryOff(options)
    (product,) = toolkit.generate(toolkit.segment([photo]), seed=photo_seed(photo.stem, SEED))
    data = io.BytesIO()
    product.images[0].save(data, "PNG")
    return data.getvalue()

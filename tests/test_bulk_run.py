"""A bulk run on a Ray of this machine: killed by SIGKILL, then resumed with other actors; the limit of memory."""

import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from temu_vtoff import Options, TryOff
from temu_vtoff.bulk.rows import photo_seed
from tests.script_processes import ROOT, contents, kill_when, python, run_python, start_python
from tests.tiny_datasets import draw_person

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


LIMITED = """
import json, re, sys
from temu_vtoff import Options, TryOff
from temu_vtoff.bulk.job import BulkJob
from temu_vtoff.bulk.rows import Photo
from temu_vtoff.bulk.stages import Segment, limit_memory

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
    assert large == ["large.png can't be read as a picture: the memory did not suffice", 0]
    assert small == [None, 1]


def picture_of(options: Options, photo: Path) -> bytes:
    """The file content of the picture that the library makes of a photo alone."""
    toolkit = TryOff(options)
    (product,) = toolkit.generate(toolkit.segment([photo]), seed=photo_seed(photo.stem, SEED))
    data = io.BytesIO()
    product.images[0].save(data, "PNG")
    return data.getvalue()

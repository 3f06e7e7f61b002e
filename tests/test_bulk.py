"""Bulk runs without a cluster: what is read from storage, what a row holds, what is written; mistakes as sentences."""

import errno
import io
import json
import re
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyarrow import fs
from ray.data.block import BlockAccessor

import inference_bulk
from command_line import explain
from temu_vtoff.bulk.job import BulkJob, Pool
from temu_vtoff.bulk.reading import ROWS, PhotoSource, fetch
from temu_vtoff.bulk.rows import Photo, Piece, photo_seed, photos_of, table_of
from temu_vtoff.bulk.run import cause_of, run_bulk
from temu_vtoff.bulk.stages import Segment, _fetch
from temu_vtoff.bulk.storage import Storage
from temu_vtoff.bulk.writing import GarmentSink, count_results, job_settings
from temu_vtoff.errors import ArgumentError
from temu_vtoff.stages import Garment, Options
from tests.object_store import CREDENTIALS, object_store
from tests.picture_server import serving
from tests.tiny_datasets import draw_person, write_dresscode


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return data.getvalue()


PERSON = encoded(draw_person("000000"))


def write_shard(path, samples: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as shard:
        for name, data in samples.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            shard.addfile(entry, io.BytesIO(data))


def read(source: PhotoSource) -> list[Photo]:
    return [photo for task in source.get_read_tasks(1) for block in task() for photo in photos_of(block)]


def job_of(folder, **changes: object) -> BulkJob:
    return BulkJob(str(folder), str(folder / "out"), **changes)


def test_a_damaged_shard_gives_its_photos_up_to_the_damage_and_one_error(tmp_path):
    samples = {}
    for number in range(2 * ROWS):
        samples |= {f"p{number}.png": PERSON, f"p{number}.json": b'{"category": "dresses"}'}
    write_shard(tmp_path / "a.tar", samples)
    write_shard(tmp_path / "b.tar", {"empty.jpg": b"", "words.txt": b"none", "odd.png": PERSON, "odd.json": b"{"})
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) * 2 // 3])
    photos = {photo.id: photo for photo in read(PhotoSource(job_of(tmp_path)))}
    sound = [photo for name, photo in photos.items() if name.startswith("p") and photo.error is None]
    assert ROWS < len(sound) < 2 * ROWS and all(photo.photo == PERSON for photo in sound)
    assert sound[0].category == "dresses" and photos["empty"].photo == b""
    assert re.fullmatch(r"a\.tar is damaged after \d+ photos: unexpected end of data\.", photos["a.tar"].error)
    assert photos["words"].error == "words has no picture, only txt."
    assert photos["odd"].error == "odd.json is damaged."


HEAD = tarfile.BLOCKSIZE  # bytes before the content of each file in an archive; the content fills whole blocks
THIRD = 2 * (HEAD + -(-len(PERSON) // HEAD) * HEAD)  # where the third file begins


@pytest.mark.parametrize("where", [THIRD, THIRD + 1, THIRD + HEAD - 1])
@pytest.mark.parametrize("kept", [False, True], ids=["cut", "overwritten"])
def test_a_shard_damaged_between_two_photos_is_no_shorter_shard(tmp_path, where, kept):
    write_shard(tmp_path / "a.tar", {f"p{number}.png": PERSON for number in range(4)})
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:where] + (b"?" * HEAD + whole[where + HEAD :] if kept else b""))
    (*sound, last) = read(PhotoSource(job_of(tmp_path)))
    assert last.error == f"a.tar is damaged after {len(sound)} photos: unexpected end of data."
    assert [photo.photo for photo in sound] == [PERSON] * len(sound) and len(sound) in (1, 2)


def test_parquet_rows_hold_bytes_or_places(tmp_path):
    pq.write_table(pa.table({"sku": [7], "image": [PERSON], "category": ["dresses"]}), tmp_path / "a.parquet")
    pq.write_table(
        pa.table({"sku": [8], "image": ["http://host/8.jpg"], "caption": ["a skirt"]}), tmp_path / "b.parquet"
    )
    pq.write_table(pa.table({"sku": [9]}), tmp_path / "c.parquet")
    (tmp_path / "d.parquet").write_bytes(b"PAR1 or not")
    job = job_of(tmp_path, id_column="sku", photo_column="image")
    first, second, lacking, damaged = read(PhotoSource(job))
    assert (first.id, first.photo, first.category) == ("7", PERSON, "dresses")
    assert (second.id, second.place, second.caption, second.photo) == ("8", "http://host/8.jpg", "a skirt", None)
    assert lacking.id == "c.parquet" and "no column 'image'" in lacking.error
    assert damaged.id == "d.parquet" and "can't be read" in damaged.error
    with pytest.raises(ArgumentError, match=r"a\.parquet has no column 'photo' .*there are sku, image, category"):
        PhotoSource(job_of(tmp_path, id_column="sku"))


def test_folders_and_datasets_give_places(tmp_path):
    (tmp_path / "in/sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png", "sub/b.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / "in" / name).write_bytes(PERSON)
    photos = read(PhotoSource(BulkJob(str(tmp_path / "in"), "out")))
    assert [photo.id for photo in photos] == ["a", "sub/b.jpg", "sub/b.png"]
    assert photos[0].place == str(tmp_path / "in/a.png")
    write_dresscode(tmp_path / "dresscode")
    dataset = BulkJob(str(tmp_path / "dresscode"), "out", input_kind="dresscode")
    items = read(PhotoSource(dataset))
    assert {photo.category for photo in items} >= {"upper_body", "dresses"} and all("/" in photo.id for photo in items)


def test_web_addresses_are_fetched_within_the_limits_of_all_doors():
    with serving({"/a.png": PERSON}) as (server, _):
        assert fetch(f"{server}/a.png") == PERSON
        for path in ("missing", "endless"):
            photo = Photo("a", place=f"{server}/{path}")
            _fetch(photo)
            assert photo.error.startswith(f"{photo.place} can't be fetched: ") and photo.error.count(photo.place) == 1


def test_addresses_are_read_and_written_through_their_file_system(tmp_path):
    (tmp_path / "bucket/photos").mkdir(parents=True)
    (tmp_path / "bucket/photos/a.png").write_bytes(PERSON)
    (photo,) = read(PhotoSource(BulkJob(f"file://{tmp_path}/bucket/photos", "out")))
    assert (photo.id, photo.place) == ("a", f"file://{tmp_path}/bucket/photos/a.png")
    assert fetch(photo.place) == PERSON
    minio = Storage("s3://bucket/photos?endpoint_override=here", fs.LocalFileSystem(), "bucket/photos")
    assert minio.address_of("bucket/photos/a.png") == "s3://bucket/photos/a.png?endpoint_override=here"
    public = Storage("gs://anonymous@bucket/photos", fs.LocalFileSystem(), "bucket/photos")
    assert public.address_of("bucket/photos/a.png") == "gs://anonymous@bucket/photos/a.png"
    with pytest.raises(ArgumentError, match="input holds a password"):
        Storage.at("s3://key:secret@bucket/photos", "input")
    job_settings(job_of(tmp_path), Options(), Storage.at(f"file://{tmp_path}/bucket/results", "output"))
    assert json.loads((tmp_path / "bucket/results/job.json").read_text())["seed"] == 0
    with pytest.raises(ArgumentError, match="input hdfs://nowhere/photos can't be opened"):
        Storage.at("hdfs://nowhere/photos", "input")


def test_an_object_store_is_read_and_written(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with object_store("bucket") as (query, objects):
        objects["photos/sub/a b#1?%20.png"] = PERSON
        (photo,) = read(PhotoSource(BulkJob(f"s3://bucket/photos?{query}", "out")))
        assert photo.id == "sub/a b#1?%20" and fetch(photo.place) == PERSON
        output = Storage.at(f"s3://bucket/results?{query}", "output")
        assert not output.exists("job.json") and output.files((".json",)) == []
        output.write_bytes("deep/job.json", b"settings")
        assert objects["results/deep/job.json"] == b"settings" == output.read_bytes("bucket/results/deep/job.json")
        assert not [key for key in objects if ".temu-" in key]
        with pytest.raises(ArgumentError, match=r"input s3://bucket/none.* does not exist"):
            PhotoSource(BulkJob(f"s3://bucket/none?{query}", "out"))


def test_photos_are_upright_and_what_is_no_picture_says_so():
    turned = Image.new("RGB", (8, 4))
    exif = turned.getexif()
    exif[0x0112] = 6
    assert Photo("a", photo=encoded(turned, "JPEG", exif=exif)).picture().size == (4, 8)
    with pytest.raises(ValueError, match="b is empty: 0 bytes"):
        Photo("b", photo=b"").picture()
    with pytest.raises(ValueError, match="c can't be read as a picture"):
        Photo("c", photo=b"words").picture()
    with pytest.raises(ValueError, match="d can't be read as a picture"):
        Photo("d", photo=PERSON[: len(PERSON) // 2]).picture()


def finished_photo(name: str, error: Exception | None = None) -> Photo:
    garment = Garment("nowhere", "dresses", name=name, mask=Image.new("L", (6, 8), 255), caption="a gown", error=error)
    facts = {} if error is not None else {"seed": photo_seed(name, 0), "score": 0.5, "doubts": ["pale"]}
    return Photo(name, photo=b"x", pieces=[Piece(garment, None if error is not None else PERSON, facts)])


@pytest.mark.parametrize("kind", ["parquet", "webdataset", "folder"])
def test_results_list_pictures_and_errors(tmp_path, kind):
    photos = [finished_photo("a.b/c"), finished_photo("d", ValueError("no garment")), Photo("e", error="empty.")]
    output = Storage.at(str(tmp_path), "output")
    sink = GarmentSink(output, kind, ".png", rows_per_file=1)
    (tmp_path / "data").mkdir()
    with sink.open_output_stream(str(tmp_path / "data/x_000000.parquet")) as file:
        sink.write_block_to_file(BlockAccessor.for_block(table_of(photos)), file)
    rows = {row["name"]: row for row in pq.read_table(tmp_path / "data/x_000000.parquet").to_pylist()}
    assert rows["a.b/c"]["seed"] == photo_seed("a.b/c", 0) and rows["a.b/c"]["doubts"] == ["pale"]
    assert rows["d"]["error"] == "no garment" and rows["e"]["error"] == "empty."
    counts = count_results(output)
    assert (counts.photos, counts.garments, counts.pictures, len(counts.failures)) == (3, 1, 1, 2)
    if kind == "parquet":
        assert rows["a.b/c"]["picture"] == PERSON
    elif kind == "folder":
        assert (tmp_path / "pictures/a_b/c.png").read_bytes() == PERSON
    else:
        with tarfile.open(tmp_path / "data/x_000000.tar") as shard:
            assert sorted(shard.getnames()) == ["a_b/c.json", "a_b/c.mask.png", "a_b/c.png"]
            assert json.load(shard.extractfile("a_b/c.json"))["caption"] == "a gown"


def test_settings_of_an_output_may_not_change(tmp_path):
    output = Storage.at(str(tmp_path), "output")
    job_settings(job_of(tmp_path), Options(), output)
    job_settings(job_of(tmp_path, pools={"caption": Pool(most=4)}, rows_per_file=2), Options(), output)
    with pytest.raises(ValueError, match=r"was begun with other settings .*: name another output\.$"):
        job_settings(job_of(tmp_path, seed=1), Options(), output)


def test_the_cause_of_a_workers_error_becomes_the_sentence():
    full = OSError(errno.ENOSPC, "No space left on device", "/data/x.parquet")
    outer = RuntimeError("UserCodeException")
    outer.__cause__ = RuntimeError("RayTaskError")
    outer.__cause__.cause = full
    assert cause_of(outer) is full
    assert explain(cause_of(outer)) == "the disk or your share of it is full: /data/x.parquet."


def test_the_back_end_says_which_categories_there_are(tmp_path):
    with pytest.raises(ArgumentError, match=r"'shoes', which .* temu-vtoff doesn't make"):
        run_bulk(job_of(tmp_path, category="shoes"), Options())
    photos = [Photo("a", photo=b"no picture", category="shoes"), Photo("b", photo=b"no picture", category="hats")]
    stage = object.__new__(Segment)  # without Ray's ledger and the model, which no photo here reaches
    stage.job, stage.options = job_of(tmp_path), Options(backend="flux2-klein")
    stage.serve(photos)
    assert photos[0].error == "a can't be read as a picture."
    assert photos[1].error.startswith("its category is 'hats'; choose one of ") and "shoes" in photos[1].error


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--stages", "caption"], "--stages begins with segment"),
        (["--stages", "segment", "finish"], "finish needs the pictures of try_off"),
        (["--actors", "try_off"], "--actors is 'try_off'; give STAGE=NUMBER"),
        (["--actors", "try_off=0"], "--actors is 'try_off=0'; give STAGE=NUMBER"),
        (["--actors", "try_off=8:2"], "--actors is 'try_off=8:2'; give STAGE=NUMBER"),
        (["--gpus", "try_off=inf"], "--gpus is 'try_off=inf'; give STAGE=NUMBER"),
        (["--gpus", "sew=1"], "--gpus is 'sew=1'; give STAGE=NUMBER"),
        (["--worker_memory", "0"], "--worker_memory is 0.0; give more than 0"),
    ],
)
def test_wrong_flags_are_one_sentence(flags, sentence):
    with pytest.raises(ArgumentError) as raised:
        inference_bulk.make_job(inference_bulk.parse_args(["--input", "in", "--output", "out", *flags]))
    assert sentence in explain(raised.value)


def test_flags_set_the_pools():
    flags = ["--actors", "try_off=2:8", "caption=3", "--gpus", "try_off=0.5", "--cpus", "caption=1"]
    job = inference_bulk.make_job(inference_bulk.parse_args(["--input", "in", "--output", "out", *flags]))
    assert job.pool("try_off") == Pool(least=2, most=8, gpus=0.5)
    assert job.pool("caption") == Pool(least=3, most=3, cpus=1) and job.pool("segment") == Pool()

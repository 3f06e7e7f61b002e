"""The stages of a bulk run without Ray: garments put on persons; captions by vLLM, with a stand-in for its engine."""

import ast
import io
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image

import inference_bulk
from command_line import explain
from drawn_people import draw_person
from temu_vtoff.bulk import vllm_captions
from temu_vtoff.bulk.job import BulkJob, Pool
from temu_vtoff.bulk.reading import PhotoSource
from temu_vtoff.bulk.rows import Photo, photo_seed, photos_of, png_of, table_of
from temu_vtoff.bulk.run import run_bulk
from temu_vtoff.bulk.stages import ACTORS
from temu_vtoff.bulk.writing import results_of
from temu_vtoff.errors import ArgumentError
from temu_vtoff.finishing.finish import Finish
from temu_vtoff.stages import Options
from temu_vtoff.stages.fitting_room import Pair
from temu_vtoff.stages.tryon import TryOn
from temu_vtoff.stages.tryon_options import TryOnOptions
from tests.test_bulk import read, write_shard

GOLDEN = str(Path(__file__).parent / "golden_tryon")
ANN, BOB = (draw_person(seed, "upper_body") for seed in (901, 904))
SHIRT = BOB.garments["upper_body"].product
OPTIONS = TryOnOptions(
    tryon=GOLDEN, tryoff="builtin", num_inference_steps=1, preset="turbo", device="cpu", finish=Finish("white")
)
STAGES = ("segment", "try_off", "try_on", "finish")
SEED = 3


def served(job: BulkJob, options: Options, photos: list[Photo]) -> list[Photo]:
    """The photos behind all stages, packed between them as on Ray."""
    for name in job.stages:
        actor = ACTORS[name](job, options, ledger=None)
        assert actor._broken is None, actor._broken
        photos = photos_of(table_of(photos))
        actor._serve(photos)
    return photos


def array(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """The results of a table with a garment, a worn garment, and several mistakes, by id."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "ann.json").write_text("no joints")
    ann, bob, shirt = map(png_of, (ANN.photo, BOB.photo, SHIRT))
    table = [
        {"id": "given", "photo": ann, "garment": shirt},
        {"id": "worn", "photo": ann, "garment_from": bob},
        {"id": "somebody", "photo": ann, "garment": bob},
        {"id": "nothing", "photo": ann},
        {"id": "shoes", "photo": ann, "garment": shirt, "category": "shoes"},
        {"id": "sky", "photo": png_of(Image.new("RGB", (192, 256), "skyblue")), "garment": shirt},
        {"id": "torn", "photo": ann, "garment": b"no picture"},
        {"id": "posed", "photo": ann, "garment": shirt, "joints": str(folder / "ann.json")},
        {"id": "null", "garment": shirt},
    ]
    schema = [(name, pa.string()) for name in ("id", "category", "joints")]
    schema += [(name, pa.binary()) for name in ("photo", "garment", "garment_from")]
    pq.write_table(pa.Table.from_pylist(table, pa.schema(schema)), folder / "pairs.parquet")
    job = BulkJob(str(folder), str(folder / "out"), stages=STAGES, seed=SEED)
    photos = served(job, OPTIONS, read(PhotoSource(job)))
    return {row["id"]: row for photo in photos for row in results_of(photo, ".png")}


def test_a_product_picture_is_put_on_as_the_library_does(rows):
    row = rows["given"]
    toolkit = TryOn(OPTIONS)
    (person,) = toolkit.prepare([ANN.photo], "upper_body")
    (result,) = toolkit.generate_pairs([Pair(person, SHIRT, "pair")], seed=photo_seed("given", SEED))
    assert row["error"] is None and np.array_equal(array(row["try_on"]), np.asarray(result.images[0]))
    region, photo, worn = array(row["region"]), np.asarray(ANN.photo), array(row["try_on"])
    assert np.array_equal(worn[region == 0], photo[region == 0]) and (worn[region > 0] != photo[region > 0]).any()
    assert row["try_on_file"] == "given_try_on.png" and row["seed"] == photo_seed("given", SEED)
    assert row["picture"] is None and row["mask"] is None, "nothing is taken off"


def test_a_worn_garment_is_taken_off_first_and_its_product_picture_is_finished(rows):
    row = rows["worn"]
    assert row["error"] is None and row["file"] == "worn.png" and row["labels"] == ["Upper-clothes", "Outer-clothes"]
    product = array(row["picture"])
    assert (product[0, 0] == 255).all() and product.std() > 5
    assert (array(row["try_on"]) != array(rows["given"]["try_on"])).any()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("somebody", "is a photo of somebody, not a product picture"),
        ("nothing", "nothing has no garment to put on."),
        ("shoes", "its category is 'shoes'; choose one of upper_body, lower_body, dresses."),
        ("sky", "no person was found"),
        ("torn", "the garment of torn can't be read as a picture."),
        ("posed", "can't be read as JSON"),
        ("null", "a row without a photo."),
    ],
)
def test_rows_that_cannot_be_dressed_keep_their_error(rows, name, sentence):
    assert sentence in rows[name]["error"] and rows[name]["try_on"] is None


def test_shards_and_datasets_name_garments(tmp_path):
    ann, shirt = png_of(ANN.photo), png_of(SHIRT)
    samples = {"a.png": ann, "a.garment.png": shirt, "b.garment_from.png": shirt, "b.png": ann, "c.mask.png": shirt}
    write_shard(tmp_path / "a.tar", samples)
    job = BulkJob(str(tmp_path), "out", stages=("segment", "try_on"))
    given, worn, other = read(PhotoSource(job))
    assert (given.photo, given.garment, given.garment_is_worn, given.error) == (ann, shirt, False, None)
    assert (
        worn.garment_is_worn and worn.error == "the garment of b is worn by somebody, and the stages leave out try_off."
    )
    assert other.error == "c has no picture, only mask.png."
    (plain, *_) = read(PhotoSource(BulkJob(str(tmp_path), "out")))
    assert plain.garment is None and plain.photo == ann
    (tmp_path / "a.tar").rename(tmp_path / "a.png")
    with pytest.raises(ArgumentError, match="try_on needs a garment for each photo, which a folder can't name"):
        PhotoSource(job)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--stages", "segment", "try_on", "--category", "all"], "--category all is for try-off"),
        (["--stages", "try_on", "try_off"], "--stages run in this order, each once"),
        (["--tryon_model", GOLDEN], "--tryon_model is for --stages try_on"),
        (["--stages", "segment", "try_off", "--caption_engine", "vllm"], "--caption_engine is for --stages caption"),
        (["--caption_engine", "vllm", "--caption_server", "http://a/v1"], "leave out --caption_engine"),
        (["--stages", "segment", "--caption_server", "http://a/v1"], "--caption_server is for --stages caption"),
        (["--caption_server", "localhost:8000"], "--caption_server is 'localhost:8000'; give an address such as"),
        (
            ["--caption_engine", "vllm"],
            '--caption_engine vllm needs vLLM, and aiohttp is not installed: pip install "ray',
        ),
    ],
)
def test_what_goes_together_is_checked_before_anything_starts(flags, sentence, monkeypatch):
    def not_installed(name: str) -> None:
        raise ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp")

    monkeypatch.setattr(vllm_captions, "import_module", not_installed)
    args = inference_bulk.parse_args(["--input", "in", "--output", "out", *flags])
    with pytest.raises(ArgumentError) as raised:
        job = inference_bulk.make_job(args)
        run_bulk(job, inference_bulk.make_options(args, job))
    assert sentence in explain(raised.value)


# --- vLLM -----------------------------------------------------------------------------------------------------------


class Answers:
    """Stands for the engine: a processor's rows with an answer, out of order, one of them an error."""

    def __init__(self) -> None:
        self.requests: list[dict] = []

    def __call__(self, table: pa.Table) -> list[pa.Table]:
        rows = []
        for row in table.to_pylist():
            row |= vllm_captions.request_of(row)
            self.requests.append(row)
            if "dress" in row["prompt"]:
                rows.append(row | {"__inference_error__": "prompt too long"})
            else:
                number = len(self.requests)
                rows.append(vllm_captions.answer_of(row | {"generated_text": f'"A top number {number}."'}))
        return [pa.Table.from_pylist([row]) for row in reversed(rows)]


def test_vllm_is_asked_about_each_garment_and_photos_come_out_whole(monkeypatch):
    monkeypatch.setattr(ray, "get", lambda found: found)
    job = BulkJob("in", "out", stages=("segment",), category="all")
    options = Options(device="cpu")
    clothes = draw_person(12, "upper_body")
    photos = [Photo("a", photo=png_of(clothes.photo)), Photo("b", photo=b""), Photo("c", photo=png_of(BOB.photo))]
    photos += [Photo("d", photo=png_of(BOB.photo), caption="a shirt", category="upper_body")]
    photos += [Photo("e", photo=png_of(draw_person(5, "dresses").photo), category="dresses")]
    photos = served(job, options, photos)
    engine, gather = Answers(), vllm_captions.Gather()
    ledger = type("Ledger", (), {"enter": type("Method", (), {"remote": staticmethod(lambda ids: ids)})})
    questions = vllm_captions.ask(table_of(photos), options, ledger)
    assert questions.num_rows == sum(max(1, len(photo.pieces)) for photo in photos) > len(photos)
    answered = {photo.id: photo for part in engine(questions) for photo in photos_of(gather(part))}
    assert sorted(answered) == ["a", "b", "c", "d", "e"] and not gather._waiting
    assert len(answered["a"].pieces) == 2
    captions = {piece.garment.caption for name in "ac" for piece in answered[name].pieces}
    assert len(captions) == sum(len(answered[name].pieces) for name in "ac")
    assert all(caption.startswith("a top number") for caption in captions)
    assert answered["d"].pieces[0].garment.caption == "a shirt" and answered["b"].error == "b is empty: 0 bytes."
    assert str(answered["e"].pieces[0].garment.error) == "vLLM: prompt too long"
    lengths = {bool(row["prompt"]): row["sampling_params"]["max_tokens"] for row in engine.requests}
    assert lengths == {True: 75, False: 1}
    (picture, text) = engine.requests[0]["messages"][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,") and text["text"]


def test_the_processor_is_configured_by_names_that_ray_has(monkeypatch):
    """The stand-in takes what the installed Ray's classes declare: `ray.data.llm` itself needs ray[llm]."""
    given: dict = {}

    class Module:
        vLLMEngineProcessorConfig = staticmethod(lambda **fields: given.update(fields))
        build_processor = staticmethod(lambda config, **others: others)

    monkeypatch.setattr(vllm_captions, "import_module", lambda name: Module)
    job = BulkJob("in", "out", caption_engine="vllm", pools={"caption": Pool(2, 3, gpus=0.3)})
    others = vllm_captions.processor_of(job, Options(), gpus=0.3)
    folder = Path(ray.__file__).parent
    batch = folder / "llm/_internal/batch"
    fields = {name for file in ("base", "vllm_engine_proc") for name in declared(batch / f"processor/{file}.py")}
    assert set(given) <= fields and given["concurrency"] == (2, 3)
    assert given["engine_kwargs"]["gpu_memory_utilization"] == 0.27
    assert given["placement_group_config"] == {"bundles": [{"CPU": 0.25, "GPU": 0.3}]}
    stages = declared(batch / "stages/configs.py")
    assert all(set(value) <= stages for name, value in given.items() if name.endswith("_stage"))
    assert set(others) <= arguments(folder / "data/llm.py", "build_processor")
    assert pickle.loads(pickle.dumps(others["preprocess"])) is vllm_captions.request_of


def declared(path: Path) -> set[str]:
    """The annotated fields of the classes in a file."""
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return {line.target.id for one in classes for line in one.body if isinstance(line, ast.AnnAssign)}


def arguments(path: Path, function: str) -> set[str]:
    """The names of a function's arguments."""
    nodes = ast.walk(ast.parse(path.read_text()))
    (found,) = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == function]
    return {one.arg for one in found.args.args}

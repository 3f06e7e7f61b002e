"""What is made of a dataset before pictures are: features, captions, masks; by one process or more, killed or not."""

import base64
import importlib
import io
import itertools
import json
import random
import shutil
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import inference_dataset
from precompute_utils import captioning_qwen, precompute_image_features, precompute_text_features
from temu_vtoff import TryOffPipeline
from temu_vtoff.captioning.attributes import attributes_from_answer
from temu_vtoff.captioning.prompt import caption_prompt
from temu_vtoff.datasets import DressCodeDataset
from temu_vtoff.datasets.features import CLIP, POOLED, T5, ImageFeatures, TextFeatures
from temu_vtoff.tryoff.components import TEXT_PARTS
from tests.script_calls import call
from tests.script_processes import contents, kill_after, kill_when, run, start
from tests.tiny_datasets import write_dresscode, write_vitonhd

TEXT, IMAGE = "precompute_utils.precompute_text_features", "precompute_utils.precompute_image_features"
CAPTION, SEGMENT = "precompute_utils.captioning_qwen", "SegCloth"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with dresscode/, vitonhd/ and captions.json."""
    folder = tmp_path_factory.mktemp("data")
    write_dresscode(folder / "dresscode", test=5, train=3)
    write_vitonhd(folder / "vitonhd", test=5, train=3)
    captions = {f"{n}{i:05d}": [f"a garment with {i} pockets"] for n in range(3) for i in range(8)}
    (folder / "captions.json").write_text(json.dumps(captions))
    return folder


@pytest.fixture(scope="module")
def flags(models: Path, data: Path) -> dict[str, list[object]]:
    """Of each script, a run over all of the tiny DressCode without its output."""
    dataset = ["--dataset_name", "dresscode", "--dataset_root", data / "dresscode", "--device", "cpu"]
    pipe = [*dataset, "--pretrained_model_name_or_path", models / "pipe", "--batch_size", 2]
    pipe += ["--mixed_precision", "no"]  # as the pipeline that the tests compare with; CPUs with AMX would take bf16
    qwen = ["--pretrained_model_name_or_path", models / "qwen", "--batch_size", 2, "--num_workers", 0]
    return {
        TEXT: [*pipe, "--coarse_caption_file", data / "captions.json"],
        IMAGE: [*pipe, "--num_workers", 0],
        CAPTION: [*dataset, *qwen, "--max_new_tokens", 12, "--temperatures", 0, 0.7],
        SEGMENT: [*dataset, "--model", models / "segformer", "--batch_size", 2, "--num_workers", 1],
    }


def into(script: str, folder: Path) -> list[object]:
    """The flags that say where a script writes."""
    return {CAPTION: ["--filename", folder / "tiny"], SEGMENT: ["--out_dir", folder]}.get(
        script, ["--output_dir", folder]
    )


PATTERNS = ("*.pt", "tiny_*_?_?.json", "*_mask.png")


@pytest.fixture(scope="module")
def made(flags: dict[str, list[object]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where an undisturbed run of each script wrote."""
    folders = {script: tmp_path_factory.mktemp(script.split(".")[-1]) for script in flags}
    for script, folder in folders.items():
        assert run(script, [*flags[script], *into(script, folder)]) == 0
    return folders


@pytest.mark.parametrize("script", [TEXT, IMAGE, CAPTION, SEGMENT])
def test_killed_and_finished_by_several(script: str, flags, made: dict[str, Path], tmp_path: Path) -> None:
    goal = contents(made[script], *PATTERNS)
    assert goal
    argv = [*flags[script], *into(script, tmp_path)]
    started = time.monotonic()
    assert run(script, [*flags[script], *into(script, tmp_path / "timed")]) == 0
    duration = time.monotonic() - started
    shutil.rmtree(tmp_path / "timed")
    chance = random.Random(script)
    assert kill_when(start(script, argv), lambda: any(path.is_file() for path in tmp_path.rglob("*")))
    for _ in range(2):
        kill_after(start(script, argv), chance.uniform(0.2, 0.8) * duration)
    assert run(script, argv, processes=chance.choice([2, 3])) == 0
    assert contents(tmp_path, *PATTERNS) == goal
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("script", [TEXT, IMAGE, CAPTION, SEGMENT])
def test_with_nothing_left_no_model_is_loaded(
    script: str, flags, made: dict[str, Path], models: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """What was cut is made again with the same bytes; then the weights go, and the script has no use for them."""
    weights = list(models.rglob("*.safetensors"))
    shutil.copytree(made[script], tmp_path, dirs_exist_ok=True)
    module = importlib.import_module(script)
    argv = [*flags[script], *into(script, tmp_path)]
    files = sorted(path for pattern in ("*.pt", "*_mask.png") for path in tmp_path.rglob(pattern))
    for path, length in zip(files[::9], itertools.cycle((0, 40, -1)), strict=False):
        path.write_bytes(path.read_bytes()[:length])
    assert call(module, *argv) == 0
    assert contents(tmp_path, *PATTERNS) == contents(made[script], *PATTERNS)
    try:
        for path in weights:
            path.rename(path.with_suffix(".away"))
        assert call(module, *argv) == 0, capsys.readouterr().err
        assert call(module, *argv[:-1], tmp_path / "elsewhere") == 2
    finally:
        for path in weights:
            path.with_suffix(".away").rename(path)


def test_pictures_that_are_not_finite_fail_alone(models: Path, data: Path, made, tmp_path: Path, capsys) -> None:
    """One item's embedding is infinite: it fails with the precision named, and its batch comes out as ever."""
    shutil.copytree(made[TEXT], tmp_path / "features")
    broken = tmp_path / "features" / CLIP / "dresses" / "200001_1.pt"
    torch.save(torch.full_like(torch.load(broken, weights_only=True), torch.inf), broken)
    flags = ["--dataset_name", "dresscode", "--dataset_root", data / "dresscode", "--device", "cpu", "--category"]
    flags += ["dresses", "--num_inference_steps", 2, "--num_workers", 0, "--mixed_precision", "no"]
    flags += ["--pretrained_model_name_or_path", models / "pipe", "--text_features_dir"]
    assert call(inference_dataset, *flags, made[TEXT], "--output_dir", tmp_path / "sound") == 0
    assert call(inference_dataset, *flags, tmp_path / "features", "--output_dir", tmp_path / "out") == 1
    errors = capsys.readouterr().err
    assert "dresses/200001_1: " in errors and "not finite in float32" in errors and "1 items failed" in errors
    sound = contents(tmp_path / "sound", "*.png")
    assert contents(tmp_path / "out", "*.png") == {k: v for k, v in sound.items() if k != "dresses/200001_1.png"}


@pytest.mark.parametrize("script", [TEXT, IMAGE])
def test_values_that_are_not_finite_fail_their_items(
    script: str, flags, models: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(models / "pipe", tmp_path / "pipe")
    name = {TEXT: "text_encoder_3", IMAGE: "image_encoder_large"}[script]
    (path,) = (tmp_path / "pipe" / name).glob("*.safetensors")
    tensors = load_file(path)
    for tensor in tensors.values():
        tensor.fill_(float("nan"))
    save_file(tensors, path, metadata={"format": "pt"})
    argv = [*flags[script], "--pretrained_model_name_or_path", tmp_path / "pipe", "--output_dir", tmp_path / "out"]
    status = call(importlib.import_module(script), *argv)
    errors = capsys.readouterr().err
    assert status == {TEXT: 2, IMAGE: 1}[script]  # of the captions, the empty one comes first
    assert "not finite in float32: encode in bfloat16 or float32" in errors and "Traceback" not in errors
    assert not list((tmp_path / "out").rglob("*/dresses/*.pt"))


def test_what_a_killed_captioner_left_is_tidied_up(flags, tmp_path: Path) -> None:
    leftover = tmp_path / "tiny_journal" / ".temu-0123.json"
    leftover.parent.mkdir()
    leftover.write_text("{")
    assert run(CAPTION, [*flags[CAPTION], *into(CAPTION, tmp_path)]) == 0
    assert not leftover.exists() and list(leftover.parent.glob("*.settings.json"))


def test_text_features_are_the_pipelines_own(models: Path, data: Path, made: dict[str, Path]) -> None:
    files = contents(made[TEXT], "*.pt")
    assert len(files) == 3 * (3 * 8 + 1)
    pipe = TryOffPipeline.from_pretrained(models / "pipe")
    store = TextFeatures(made[TEXT])
    items = [i for phase in ("train", "test") for i in DressCodeDataset(data / "dresscode", phase).items]
    captions = json.loads((data / "captions.json").read_text())
    embeds, pooled = store.load(items)
    with torch.no_grad():
        expected = [pipe.encode_captions([captions[item.id][0]]) for item in items]
        empty, empty_pooled = pipe.encode_captions([""])
    torch.testing.assert_close(embeds.float(), torch.cat([e for e, _ in expected]), atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(pooled.float(), torch.cat([p for _, p in expected]), atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(store.load_empty_prompt()[0].float(), empty, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(store.load_empty_prompt()[1].float(), empty_pooled, atol=2e-3, rtol=2e-3)
    assert embeds.dtype == torch.float16

    tokens, width = empty.shape[1] // 2, empty.shape[2]
    one = {name: made[TEXT] / name / "dresses" / "200001_1.pt" for name in (POOLED, CLIP, T5)}
    shapes = {name: tuple(torch.load(path, weights_only=True).shape) for name, path in one.items()}
    assert shapes == {POOLED: tuple(pooled.shape[1:]), CLIP: (tokens, width), T5: (tokens, width)}
    assert one[CLIP].stat().st_size < 2 * tokens * width + 2000  # its own row, not the batch's


def test_only_clip_or_only_t5(flags, made: dict[str, Path], tmp_path: Path) -> None:
    argv = [*flags[TEXT], "--output_dir", tmp_path, "--dtype", "fp16"]
    assert call(precompute_text_features, *argv, "--encoders", "clip") == 0
    assert not (tmp_path / T5).exists()
    assert call(precompute_text_features, *argv, "--encoders", "t5") == 0
    assert contents(tmp_path, "*.pt") == contents(made[TEXT], "*.pt")
    assert call(precompute_text_features, *argv, "--dtype", "fp32") == 2  # not into the same files


def test_image_features_are_the_pipelines_own(models: Path, data: Path, made: dict[str, Path]) -> None:
    from torchvision.transforms.functional import to_tensor

    dataset = DressCodeDataset(data / "dresscode", load=["person"])
    pipe = TryOffPipeline.from_pretrained(models / "pipe")
    persons = torch.stack([to_tensor(dataset[i].person) for i in range(len(dataset))])
    with torch.no_grad():
        expected = pipe.encode_image(persons)
    stored = ImageFeatures(made[IMAGE]).load(dataset.items)
    assert ImageFeatures(made[IMAGE]).path(dataset.items[0]).name == "000000_0.pt"
    torch.testing.assert_close(stored.float(), expected, atol=2e-3, rtol=2e-3)
    assert len(contents(made[IMAGE], "*.pt")) == 24


def test_vitonhd_features_lie_by_phase(models: Path, data: Path, tmp_path: Path) -> None:
    flags = [
        "--dataset_name",
        "vitonhd",
        "--dataset_root",
        data / "vitonhd",
        "--device",
        "cpu",
        "--output_dir",
        tmp_path,
    ]
    flags += ["--pretrained_model_name_or_path", models / "pipe", "--num_workers", 0, "--resize_mode", "crop"]
    assert call(precompute_image_features, *flags) == 0
    assert (tmp_path / POOLED / "test" / "00000_00.pt").is_file() and (
        tmp_path / POOLED / "train" / "00500_00.pt"
    ).is_file()


def test_generation_uses_features(models: Path, data: Path, made: dict[str, Path], tmp_path: Path) -> None:
    """With captions that nobody could know and no text encoders, the pictures are those of the encoded captions."""
    flags = ["--dataset_name", "dresscode", "--dataset_root", data / "dresscode", "--device", "cpu"]
    flags += ["--num_inference_steps", 2, "--num_workers", 0, "--category", "dresses", "--mixed_precision", "no"]
    pipe = ["--pretrained_model_name_or_path", models / "pipe"]
    out = [["--output_dir", tmp_path / name] for name in "abc"]
    assert call(inference_dataset, *flags, *pipe, *out[0], "--coarse_caption_file", data / "captions.json") == 0
    features = ["--text_features_dir", made[TEXT], "--image_features_dir", made[IMAGE]]
    bare = tmp_path / "bare"
    shutil.copytree(models / "pipe", bare)
    index = json.loads((bare / "model_index.json").read_text())
    for part in TEXT_PARTS:
        shutil.rmtree(bare / part)
        index[part] = [None, None]
    (bare / "model_index.json").write_text(json.dumps(index))
    assert call(inference_dataset, *flags, "--pretrained_model_name_or_path", bare, *out[1], *features) == 0
    (tmp_path / "other.json").write_text(json.dumps({f"20000{i}": ["another thing entirely"] for i in range(8)}))
    assert call(inference_dataset, *flags, *pipe, *out[2], "--coarse_caption_file", tmp_path / "other.json") == 0
    a, b, c = (
        np.stack([np.asarray(Image.open(p)).astype(int) for p in sorted((tmp_path / name).glob("dresses/*.png"))])
        for name in "abc"
    )
    assert len(a) == 5
    assert abs(a - b).mean() < 0.3 < abs(a - c).mean()  # half precision on disk against another caption


def test_captions_of_both_sources_and_temperatures(flags, made: dict[str, Path], data: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in made[CAPTION].glob("*.json") if path.name != "run.json")
    assert names == ["tiny_person_0_0.json", "tiny_person_0_7.json"]
    greedy, warm = (json.loads((made[CAPTION] / name).read_text()) for name in names)
    assert sorted(greedy) == sorted(json.loads((data / "captions.json").read_text()))
    assert all(isinstance(line, str) and line for [line] in greedy.values()) and greedy != warm
    argv = [*flags[CAPTION], "--caption_source", "garment", "--temperature", 0, "--phase", "test", "--batch_size", 7]
    assert call(captioning_qwen, *argv, "--attributes", *into(CAPTION, tmp_path)) == 0
    of_garments = json.loads((tmp_path / "tiny_garment_0_0.json").read_text())
    attributes = json.loads((tmp_path / "tiny_garment_0_0_attributes.json").read_text())
    assert attributes == {key: attributes_from_answer(line) for key, [line] in of_garments.items()}
    assert len(of_garments) == 15 and of_garments != {key: greedy[key] for key in of_garments}


def test_nothing_is_captioned_twice(flags, made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "tiny_person_0_0.json").write_text(json.dumps({"000001": ["kept from elsewhere"]}))
    argv = [*flags[CAPTION], "--temperatures", 0, *into(CAPTION, tmp_path)]
    assert call(captioning_qwen, *argv) == 0
    captions = json.loads((tmp_path / "tiny_person_0_0.json").read_text())
    expected = json.loads((made[CAPTION] / "tiny_person_0_0.json").read_text())
    assert captions == expected | {"000001": ["kept from elsewhere"]}
    journal = tmp_path / "tiny_journal" / "tiny_person_0_0.0.jsonl"
    lines = journal.read_bytes().splitlines()
    assert len(lines) == 23
    assert call(captioning_qwen, *argv) == 0
    assert [line for line in journal.read_bytes().splitlines() if line] == lines
    assert call(captioning_qwen, *argv, "--seed", 1) == 2  # not into the same file


class _Server(ThreadingHTTPServer):
    """An OpenAI-compatible chat server that checks what it receives; some first answers are failures."""

    def __init__(self, failures: dict[int, int] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failures = dict(failures or {})  # status -> how often yet
        self.asked: list[dict] = []
        self.errors: list[str] = []
        self.at_once, self.most_at_once, self.lock = 0, 0, threading.Lock()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        with self.server.lock:
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
            status = next((s for s, left in self.server.failures.items() if left > 0), 200)
            if status != 200:
                self.server.failures[status] -= 1
        try:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(0.01)
            answer = self.answer(body) if status == 200 else {"error": f"failing with {status}"}
        except Exception as error:
            self.server.errors.append(repr(error))
            status, answer = 400, {"error": repr(error)}
        with self.server.lock:
            self.server.at_once -= 1
        data = json.dumps(answer).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0.05")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def answer(self, body: dict) -> dict:
        assert self.path == "/v1/chat/completions" and self.headers["Authorization"] == "Bearer secret"
        assert body["model"] == "served" and body["max_tokens"] == 12 and body["temperature"] == 0.7
        assert 0 <= body["seed"] < 2**31
        (message,) = body["messages"]
        image, text = message["content"]
        assert message["role"] == "user" and text["text"] in {caption_prompt(c, "person") for c in CATEGORIES}
        kind, data = image["image_url"]["url"].split(",")
        assert kind == "data:image/jpeg;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert picture.size == (48, 64)
        with self.server.lock:
            self.server.asked.append(body)
        colour = bytes(picture.getpixel((1, 1))).hex()
        return {"choices": [{"message": {"content": f'"A {colour} garment."'}}]}

    def log_message(self, *args: object) -> None:
        pass


CATEGORIES = ("upper_body", "lower_body", "dresses")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setattr("temu_vtoff.captioning.server.LONGEST_PAUSE", 0.02)
    running = _Server({500: 2, 429: 2, 503: 1})
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def api_flags(server: _Server, data: Path, tmp_path: Path) -> list[object]:
    flags = ["--dataset_name", "dresscode", "--dataset_root", data / "dresscode", "--num_workers", 0]
    flags += ["--api_base", server.base, "--concurrency", 3, "--pretrained_model_name_or_path", "served"]
    return [*flags, "--temperatures", 0.7, "--max_new_tokens", 12, *into(CAPTION, tmp_path)]


def test_captions_from_a_server(server: _Server, api_flags: list[object], data: Path, tmp_path: Path) -> None:
    assert call(captioning_qwen, *api_flags) == 0
    assert server.errors == [] and not any(server.failures.values())
    assert len(server.asked) == 24 and 1 < server.most_at_once <= 3
    assert Counter(body["messages"][0]["content"][1]["text"] for body in server.asked).most_common(1)[0][1] == 8
    assert len({body["seed"] for body in server.asked}) == 24
    captions = json.loads((tmp_path / "tiny_person_0_7.json").read_text())
    person = Image.open(data / "dresscode/dresses/images/200001_0.jpg")
    (line,) = captions["200001"]
    assert line.startswith("A ") or line.startswith("a ")
    seen = [int(line.split()[1][i : i + 2], 16) for i in (0, 2, 4)]
    assert np.abs(np.subtract(seen, person.getpixel((1, 1)))).max() < 12  # each its own picture
    assert call(captioning_qwen, *api_flags) == 0
    assert len(server.asked) == 24  # nothing is asked twice


def test_what_a_server_refuses_is_told_by_item(server: _Server, api_flags, tmp_path: Path, capsys) -> None:
    server.failures = {400: 1}
    assert call(captioning_qwen, *api_flags, "--concurrency", 1) == 1
    errors = capsys.readouterr().err
    assert "upper_body/000005_1: " in errors and "answered 400" in errors and "1 items failed" in errors
    assert len(json.loads((tmp_path / "tiny_person_0_7.json").read_text())) == 23
    assert call(captioning_qwen, *api_flags) == 0
    assert len(json.loads((tmp_path / "tiny_person_0_7.json").read_text())) == 24


def test_no_server_ends_the_run(server: _Server, api_flags: list[object], capsys) -> None:
    server.failures = {401: 99}
    assert call(captioning_qwen, *api_flags) == 2
    assert "answered 401" in capsys.readouterr().err
    assert call(captioning_qwen, *api_flags, "--api_base", "http://127.0.0.1:9/v1") == 2
    assert "http://127.0.0.1:9/v1/chat/completions can't be reached" in capsys.readouterr().err


def test_generated_masks_are_found(data: Path, made: dict[str, Path]) -> None:
    assert len(contents(made[SEGMENT], "*_binary_mask.png")) == 24
    dataset = DressCodeDataset(data / "dresscode", load=["mask"], mask_dir=made[SEGMENT])
    from_map = DressCodeDataset(data / "dresscode", load=["mask"])
    path = made[SEGMENT] / "lower_body" / "100000_0_binary_mask.png"
    index = [item.id for item in dataset.items].index("100000")
    assert np.array_equal(dataset[index].mask, Image.open(path))
    assert not np.array_equal(from_map[index].mask, dataset[index].mask)


@pytest.mark.parametrize(
    ("module", "more", "words"),
    [
        (captioning_qwen, [], "a picture needs --image_path and --output_path"),
        (
            captioning_qwen,
            ["--dataset_name", "vitonhd"],
            "a dataset needs --dataset_name, --dataset_root and --output_path",
        ),
        (precompute_text_features, None, "There is no folder nowhere"),
    ],
)
def test_mistakes_end_with_one_sentence(module, more: list[str] | None, words: str, tmp_path: Path, capsys) -> None:
    if more is None:
        more = ["--dataset_name", "vitonhd", "--dataset_root", "nowhere", "--output_dir", str(tmp_path)]
        more += ["--coarse_caption_file", "captions.json"]
    assert call(module, *more) == 2
    errors = capsys.readouterr().err
    assert words in errors and "Traceback" not in errors

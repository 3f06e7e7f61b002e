"""Where models come from, and what is said when they can't be had: against a real HTTP server where the hub answers."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from golden_checkpoint import GOLDEN

from temu_vtoff import TryOffPipeline
from temu_vtoff.builtin import resolve
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.errors import CheckpointError, HubUnreachableError
from temu_vtoff.hub.sizes import WorkingSize, read_working_size
from temu_vtoff.hub.sources import PUBLISHED_BASE, PUBLISHED_TRYOFF, complete_sources
from tests.script_calls import heavy_imports
from tests.web_server import QuietHandler, running

ROOT = Path(__file__).parent.parent


@pytest.fixture
def two_sources(tmp_path) -> tuple[Path, Path]:
    """The tiny checkpoint split as the published one is: base and try-off."""
    base, tryoff = tmp_path / "base", tmp_path / "tryoff"
    for folder, parts in ((base, ("vae", "scheduler")), (tryoff, ("transformer", "transformer_vton"))):
        for part in parts:
            shutil.copytree(GOLDEN / part, folder / part)
    return base, tryoff


NO_TEXT = dict.fromkeys(("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3"))


def test_base_and_tryoff_are_two_folders(two_sources):
    encoders = {name: GOLDEN / name for name in ("image_encoder_large", "image_encoder_bigG")}
    pipe = TryOffPipeline.from_pretrained(*two_sources, **encoders, **NO_TEXT)
    assert pipe.config.rescale_clip_input_twice is True and pipe.config.negative_reference is True
    assert pipe.image_encoder_bigG.config.projection_dim == 40 and pipe.text_encoder_3 is None


def test_a_folder_named_twice_is_one_source():
    assert TryOffPipeline.from_pretrained(GOLDEN, GOLDEN).image_encoder_large is not None


def test_missing_parts_are_named_together(two_sources):
    base, tryoff = two_sources
    shutil.rmtree(tryoff / "transformer_vton")
    with pytest.raises(CheckpointError, match=r"base lacks text_encoder/.*tryoff lacks transformer_vton/"):
        TryOffPipeline.from_pretrained(base, tryoff)
    with pytest.raises(CheckpointError, match="tryoff lacks scheduler/, vae/"):
        TryOffPipeline.from_pretrained(tryoff, transformer_vton=object())
    with pytest.raises(CheckpointError, match="lacks transformer_vton/"):
        read_working_size(str(base), str(tryoff))


def test_missing_weights_of_a_text_or_image_encoder_are_no_silent_noise(tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(GOLDEN, tmp_path / "whole")
    path = tmp_path / "whole" / "image_encoder_large" / "model.safetensors"
    weights = load_file(path)
    weights.pop("visual_projection.weight")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"image_encoder_large.*lacks 1 weights \(visual_projection\.weight\)"):
        TryOffPipeline.from_pretrained(tmp_path / "whole")


def test_unknown_components_are_refused():
    with pytest.raises(TypeError, match="no component unet"):
        TryOffPipeline.from_pretrained(GOLDEN, unet=None)


def test_one_named_source_brings_the_other():
    assert complete_sources() == ("builtin", "builtin")
    assert complete_sources(tryoff=PUBLISHED_TRYOFF) == (PUBLISHED_BASE, PUBLISHED_TRYOFF)
    assert complete_sources(base=PUBLISHED_BASE) == (PUBLISHED_BASE, PUBLISHED_TRYOFF)
    assert complete_sources(base=str(GOLDEN)) == complete_sources(tryoff=str(GOLDEN)) == (str(GOLDEN), str(GOLDEN))
    assert complete_sources("mine", "yours") == ("mine", "yours")


def test_working_size_comes_from_the_configurations():
    size = read_working_size(str(GOLDEN), str(GOLDEN))
    assert (size.width, size.height, size.multiple, size.largest) == (64, 96, 16, 160)
    vae = {"block_out_channels": (128, 256, 512, 512)}
    published = {"sample_size": 128, "patch_size": 2, "pos_embed_max_size": 192}
    assert WorkingSize.of(vae, published, published) == WorkingSize(768, 1024, 16, 3072)
    finer = {"sample_size": 128, "patch_size": 1, "pos_embed_max_size": 128}
    assert WorkingSize.of(vae, finer, published) == WorkingSize(768, 1024, 16, 1024)
    with pytest.raises(ArgumentError, match="height 1040 is too large for this model: 1024 at most") as raised:
        WorkingSize.of(vae, finer, published).choose(768, 1040)
    assert raised.value.argument == "height"
    with pytest.raises(ArgumentError, match="width 100 is not a multiple of 16; the nearest is 96") as raised:
        WorkingSize.of(vae, published, published).choose(100)
    assert raised.value.argument == "width"


@pytest.mark.parametrize(
    ("part", "entry", "value", "words"),
    [
        ("transformer", "sample_size", "many", "says sample_size is 'many', not a whole number"),
        ("transformer", "sample_size", [64], "says sample_size is a list, not a number"),
        ("transformer_vton", "patch_size", 0, "says patch_size is 0"),
        ("transformer_vton", "pos_embed_max_size", None, "lacks pos_embed_max_size"),
        ("vae", "block_out_channels", 4, "says block_out_channels is 4, not a list"),
    ],
)
def test_damaged_configurations_are_named_before_anything_is_loaded(two_sources, part, entry, value, words):
    base, tryoff = two_sources
    file = (base if part == "vae" else tryoff) / part / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {entry: value}), "utf-8")
    with pytest.raises(CheckpointError, match=f"the {part} can't be loaded: {file} {re.escape(words)}"):
        read_working_size(str(base), str(tryoff))


def test_sources_are_read_without_torch():
    assert heavy_imports("import temu_vtoff.hub.errors, temu_vtoff.hub.sizes") == set()


def test_offline_and_not_cached_is_said():
    with pytest.raises(HubUnreachableError, match=r"nobody/nothing.*can't be reached"):
        TryOffPipeline.from_pretrained("nobody/nothing")
    with pytest.raises(CheckpointError, match="no/such/folder"):
        TryOffPipeline.from_pretrained("no/such/folder")


def test_there_is_no_other_builtin_part():
    with pytest.raises(ValueError, match="part is 'vocoder'; the built-in parts are tryoff"):
        resolve("builtin", "vocoder")


HUB_ANSWERS = {  # the hub's status and error code -> what we say
    "401-GatedRepo": "is gated or private.*accept its licence.*hf auth login",
    "403-GatedRepo": "is gated or private.*accept its licence.*hf auth login.*fine-grained token also needs",
    "403-Forbidden": "is gated or private.*accept its licence.*fine-grained token also needs the permission",
    "401-RepoNotFound": "neither a folder here nor a public model on the hub.*check the spelling.*log in",
    "404-RepoNotFound": "neither a folder here nor a public model on the hub.*check the spelling",
    "404-RevisionNotFound": "no such revision",
    "500-OutOfOrder": "the hub",
}


def load_in_a_process(sources: list[str], endpoint: str, home: Path) -> list[str]:
    """What is said of try-off sources when the hub is at `endpoint`, which is read at import."""
    script = (
        "import json, sys, time\n"
        "time.sleep = lambda seconds: None\n"  # the hub's client waits 23 s between its attempts
        "from temu_vtoff.hub.errors import CheckpointError\n"
        "from temu_vtoff.hub.sizes import read_working_size\n"
        "for source in sys.argv[1:]:\n"
        "    try:\n        read_working_size('stabilityai/base', source)\n"
        "    except CheckpointError as error:\n        print(json.dumps(str(error)))\n"
    )
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home)}
    environment |= {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", script, *sources]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_what_the_hub_answers_becomes_one_sentence(tmp_path):
    class Hub(QuietHandler):
        def do_GET(self):
            asked = re.match(r"/hub/(\d+)-(\w+)/", self.path)  # else what the client asks for besides
            status, code = asked.groups() if asked else (404, "")
            self.send_response(int(status))
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", "no")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

    sources = [f"hub/{answer}" for answer in HUB_ANSWERS]
    with running(Hub) as port:
        sentences = load_in_a_process(sources, f"http://127.0.0.1:{port}", tmp_path)
    for source, sentence, expected in zip(sources, sentences, HUB_ANSWERS.values(), strict=True):
        assert source in sentence and "\n" not in sentence and re.search(expected, sentence), sentence


def test_an_unreachable_hub_is_said(tmp_path):
    with socket.socket() as free:  # nobody listens on a port just given back
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (sentence,) = load_in_a_process(["somebody/tryoff"], f"http://127.0.0.1:{port}", tmp_path)
    assert "somebody/tryoff" in sentence and "the hub can't be reached" in sentence and "\n" not in sentence

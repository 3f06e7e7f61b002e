"""inference.py --fetch_only against a small hub on this machine, and the same command offline afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import RemoteEntryNotFoundError

from temu_vtoff import Finish, Options
from temu_vtoff.hub.licences import LICENCES
from temu_vtoff.hub.sources import PUBLISHED_BASE, PUBLISHED_CAPTIONER, PUBLISHED_SEGMENTER, PUBLISHED_TRYOFF
from temu_vtoff.stages.fetching import Wanted, files_of, needs_of
from tests.script_calls import ROOT
from tests.small_hub import serving
from tests.tiny_editors import save_tiny_klein
from tests.tiny_stages import save_decided_segformer

NAMES = [
    "README.md",
    "sample.png",
    "config.json",
    "model.safetensors",
    "model.fp16.safetensors",
    "pytorch_model.bin",
    "tf_model.h5",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "big/config.json",
    "big/model.safetensors.index.json",
    "big/model-00001-of-00002.safetensors",
    "big/model-00002-of-00002.safetensors",
    "big/model.safetensors.index.fp16.json",
    "big/model.fp16-00001-of-00001.safetensors",
    "old/config.json",
    "old/diffusion_pytorch_model.bin",
]


@pytest.mark.parametrize(
    ("folder", "variant", "expected"),
    [
        ("", None, ["config.json", "model.safetensors"]),
        ("", "fp16", ["config.json", "model.fp16.safetensors"]),
        ("", "bf16", ["config.json", "model.safetensors"]),
        ("tokenizer", None, ["tokenizer/vocab.json", "tokenizer/merges.txt"]),
        (
            "big",
            None,
            [
                "big/config.json",
                "big/model-00001-of-00002.safetensors",
                "big/model-00002-of-00002.safetensors",
                "big/model.safetensors.index.json",
            ],
        ),
        (
            "big",
            "fp16",
            [
                "big/config.json",
                "big/model.fp16-00001-of-00001.safetensors",
                "big/model.safetensors.index.fp16.json",
            ],
        ),
        ("old", None, ["old/config.json", "old/diffusion_pytorch_model.bin"]),
    ],
)
def test_one_format_of_the_weights_is_chosen(folder, variant, expected):
    assert files_of(NAMES, folder, variant) == expected


def test_what_the_published_models_need(monkeypatch):
    monkeypatch.setattr("temu_vtoff.stages.fetching.read_index", lambda *_: {})
    options = Options(tryoff=PUBLISHED_TRYOFF, revision="main", variant="fp16", lora=["me/lora:a.safetensors@0.5"])
    needs = {wanted.source: wanted for wanted in needs_of(options)}
    assert needs[PUBLISHED_TRYOFF] == Wanted(PUBLISHED_TRYOFF, ("transformer", "transformer_vton"))
    base = needs[PUBLISHED_BASE]
    assert {"vae", "scheduler", "text_encoder_3", "tokenizer_3"} < {*base.folders} and "transformer" not in base.folders
    assert (base.revision, base.variant) == ("main", "fp16")
    assert needs["openai/clip-vit-large-patch14"].folders == ("",)
    assert needs["me/lora"].lora.weight_name == "a.safetensors"
    alone = {wanted.source for wanted in needs_of(options, segmenter=False, captioner=False)}
    assert {*needs} - alone == {PUBLISHED_SEGMENTER, PUBLISHED_CAPTIONER}
    assert {PUBLISHED_TRYOFF, PUBLISHED_BASE, PUBLISHED_SEGMENTER, PUBLISHED_CAPTIONER} <= {*LICENCES}
    assert needs_of(Options()) == []


@pytest.mark.parametrize(
    ("index", "folders"), [(None, ("",)), ({"unet": ["diffusers", "UNet2DModel"], "text": [None, None]}, ("unet",))]
)
def test_an_upscaler_is_needed_too(index, folders, tmp_path, monkeypatch):
    def download(source: str, name: str) -> str:
        if index is None:
            response = SimpleNamespace(headers={}, request=None, status_code=404)
            raise RemoteEntryNotFoundError(f"{source} has no {name}", response=response)
        (tmp_path / name).write_text(json.dumps(index))
        return str(tmp_path / name)

    monkeypatch.setattr("temu_vtoff.stages.fetching.hf_hub_download", download)
    options = Options(finish=Finish(upscale=2, upscaler="me/large"))
    assert needs_of(options) == [Wanted("me/large", folders)]


def test_a_run_is_fetched_and_then_works_offline(tmp_path: Path):
    folders = {"me/klein": save_tiny_klein(tmp_path / "klein"), "me/segformer": tmp_path / "segformer"}
    save_decided_segformer(folders["me/segformer"])
    (folders["me/klein"] / "sample.png").write_bytes(b"a sample")
    (folders["me/klein"] / "transformer" / "pytorch_model.bin").write_bytes(b"a pickle")
    flags = ["--backend", "flux2-klein", "--pretrained_model_name_or_path", "me/klein", "--width", "64", "--height"]
    flags += ["96", "--segmentation_model", "me/segformer", "--caption", "a shirt"]

    def run(endpoint: str, *more: object, offline: bool = False) -> subprocess.CompletedProcess:
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
        environment |= {"HF_HUB_OFFLINE": str(int(offline)), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, ROOT / "inference.py", *flags, "--output_dir", tmp_path / "out", *more]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)

    with serving(folders, {"me/klein": {"license": "apache-2.0"}}) as (endpoint, sent):
        first = run(endpoint, "--fetch_only")
        assert first.returncode == 0, first.stderr
        klein, segformer, total = first.stdout.splitlines()
        assert klein.startswith("me/klein: ") and "KB" in klein and klein.endswith("licence: apache-2.0")
        assert segformer.startswith("me/segformer: 3 files") and segformer.endswith("licence: not stated, see its page")
        assert "all here; the same command now runs offline" in total
        assert "me/klein/transformer/diffusion_pytorch_model.safetensors" in sent
        assert not any(name.endswith((".png", ".bin")) for name in sent) and len(sent) == len({*sent})
        sent.clear()
        again = run(endpoint, "--fetch_only")
        assert again.returncode == 0 and sent == []  # nothing is sent twice
        unknown = run(endpoint, "--fetch_only", "--segmentation_model", "me/nothing")
        assert unknown.returncode == 2 and "me/nothing is neither a folder here nor a public model" in unknown.stderr
    assert not (tmp_path / "out").exists()
    offline = run("http://127.0.0.1:9", offline=True)
    assert offline.returncode == 0, offline.stderr
    assert (tmp_path / "out" / "example1_output.png").is_file()

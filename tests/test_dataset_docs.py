"""docs/datasets.md says what `make dataset-demo` does, its flags exist, and its recipe for one's own photos runs."""

import re
import shlex
import subprocess

import pytest
from PIL import Image

import inference_dataset
import SegCloth
import train
from drawn_people import draw_person
from precompute_utils import captioning_qwen
from tests.script_calls import ROOT, call, help_text

DOCUMENT = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")


def commands(text: str, start: str) -> list[list[str]]:
    """The command lines that begin so, continued lines joined, as words without their first."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line[len(start) :]) for line in lines if line.startswith(start)]


BLOCKS = re.findall(r"```bash\n(.*?)```", DOCUMENT, flags=re.DOTALL)
DEMO, *RECIPE = BLOCKS
DOCUMENTED = commands("".join(BLOCKS), "python ")
SCRIPTS = {
    "SegCloth.py": SegCloth,
    "inference_dataset.py": inference_dataset,
    "precompute_utils/captioning_qwen.py": captioning_qwen,
    "train.py": train,
}


def test_make_runs_the_documented_lines() -> None:
    made = subprocess.run(["make", "-n", "dataset-demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert commands(made, "HF_HUB_OFFLINE=1 .venv/bin/python ") == commands(DEMO, "python ") != []


@pytest.mark.parametrize("script", sorted({words[0] for words in DOCUMENTED if words[0].endswith(".py")}))
def test_documented_flags_exist(script: str) -> None:
    shown = help_text(script)
    used = {word for words in DOCUMENTED if words[0] == script for word in words if word.startswith("--")}
    assert used and all(f" {flag} " in shown for flag in used)


def test_ones_own_photos_become_pictures_and_adapters(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "products"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        person = draw_person(500 + number, "upper_body")
        person.photo.save(f"photos/look {number}.jpg")
        person.garments["upper_body"].product.save(f"products/look {number}.jpg")
    assert len(RECIPE) == 2
    for line in "".join(RECIPE).replace("\\\n", " ").splitlines():
        if line.startswith("python "):
            script, *flags = shlex.split(line)[1:]
            assert call(SCRIPTS[script], *flags) == 0, capsys.readouterr().err
        else:
            subprocess.run(["bash", "-c", line], check=True)
    with Image.open("shop/train/image-parse-v3/look 1.png") as label_map:
        assert label_map.size == (192, 256) and {5, 13} < set(label_map.get_flattened_data())
    assert sorted(path.name for path in tmp_path.glob("shop_pictures/upper_body/*")) == ["look 0.png", "look 1.png"]
    assert (tmp_path / "shop_lora/transformer_lora/pytorch_lora_weights.safetensors").is_file()

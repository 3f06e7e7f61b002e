"""precompute_utils/captioning_qwen.py on single pictures, imported, called and run."""

import json
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from precompute_utils import captioning_qwen
from precompute_utils.captioning_qwen import Captioner
from temu_vtoff import builtin
from temu_vtoff.captioning.attributes import attributes_from_answer
from tests import script_calls
from tests.script_calls import ROOT, heavy_imports
from tests.script_processes import run_python
from tests.tiny_models import save_tiny_qwen


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(save_tiny_qwen(tmp_path_factory.mktemp("qwen")))


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(skimage.data.astronaut()).resize((90, 120)).save(path)
    return path


@pytest.fixture
def call(capsys):
    """Runs the script in this process: exit status, standard output, standard error."""
    return lambda *argv: (script_calls.call(captioning_qwen, *argv), *capsys.readouterr())


@pytest.mark.parametrize(
    "how", [[ROOT / "precompute_utils/captioning_qwen.py"], ["-m", "precompute_utils.captioning_qwen"]]
)
def test_as_a_subprocess(model, photo, tmp_path, how):
    arguments = ["--pretrained_model_name_or_path", model, "--image_path", photo, "--image_category", "dresses"]
    arguments += ["--output_path", tmp_path / "outputs/new/caption.txt", "--max_new_tokens", "8"]
    printed = run_python([*how, *arguments], ROOT)
    (expected,) = Captioner.from_pretrained(model)(Image.open(photo), "dresses", max_new_tokens=8)
    assert (tmp_path / "outputs/new/caption.txt").read_text("utf-8") == expected + "\n"
    assert printed.startswith(f"{tmp_path / 'outputs/new/caption.txt'}: ")


def test_attributes_stand_beside_the_caption(photo, tmp_path, call):
    output = tmp_path / "caption.txt"
    flags = ("--caption_model", "builtin", "--image_path", photo, "--output_path", output, "--attributes")
    assert call(*flags)[0] == 0
    found = json.loads(output.with_suffix(".json").read_text("utf-8"))
    assert found == attributes_from_answer(output.read_text("utf-8")) and found["type"] is not None


def test_importing_is_light():
    assert heavy_imports("import precompute_utils.captioning_qwen") == set()


def test_every_flag_counts(model, photo, tmp_path, call):
    def caption(*flags: object) -> str:
        output = tmp_path / "caption.txt"
        status, _, err = call(
            *("--pretrained_model_name_or_path", model, "--image_path", photo, "--output_path", output),
            *("--max_new_tokens", 12, *flags),
        )
        assert status == 0, err
        (line,) = output.read_text("utf-8").splitlines()
        return line

    plain = caption()
    assert caption("--seed", 0, "--temperature", 0.2, "--image_category", "upper_body", "--device", "cpu") == plain
    others = [
        caption(*flags)
        for flags in (
            ("--temperature", 5),
            ("--temperature", 5, "--seed", 1),
            ("--temperature", 0),
            ("--image_category", "dresses"),
            ("--caption_source", "garment"),
            ("--max_pixels", 4 * 28 * 28),
            ("--max_new_tokens", 3),
        )
    ]
    assert len({plain, *others}) == 8
    assert caption("--temperature", 0, "--seed", 7) == others[2]


def test_the_picture_is_turned_upright(model, photo, tmp_path, call):
    exif = Image.Exif()
    exif[0x0112] = 8
    with Image.open(photo) as picture:
        picture.rotate(-90, expand=True).save(tmp_path / "turned.png", exif=exif)
    lines = []
    for path in (photo, tmp_path / "turned.png"):
        arguments = ("--image_path", path, "--output_path", tmp_path / "caption.txt", "--max_new_tokens", 12)
        assert call("--pretrained_model_name_or_path", model, *arguments)[0] == 0
        lines.append((tmp_path / "caption.txt").read_text("utf-8"))
    assert lines[0] == lines[1]


def test_the_built_in_captioner_says_what_it_knows(model, photo, tmp_path, call, monkeypatch):
    monkeypatch.setattr(builtin, "resolve", lambda name, part: model if name == builtin.BUILTIN else name)
    arguments = ("--image_path", photo, "--output_path", tmp_path / "caption.txt", "--max_new_tokens", 8)
    status, _, err = call("--pretrained_model_name_or_path", "builtin", *arguments)
    assert status == 0 and "drawn people only" in err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--image_path", "none.png"), "no picture at none.png"),
        (("--image_path", "broken.png"), "broken.png can't be read as a picture"),
        (("--output_path", "caption.json"), "--output_path is caption.json; give a .txt file"),
        (("--output_path", "photo.png/caption.txt"), "output folder photo.png can't be made"),
        (("--temperature", "-1"), "temperature is -1.0; give 0 or more"),
        (("--max_pixels", "10"), "max_pixels is 10; give at least 784"),
        (("--device", "abacus"), "--device is 'abacus'; give cpu"),
        (("--pretrained_model_name_or_path", "/no/where"), "no folder /no/where"),
        (("--pretrained_model_name_or_path", "nobody/nothing"), "hub can't be reached"),
    ],
)
def test_mistakes_get_one_sentence_and_status_2(model, photo, call, monkeypatch, flags, words):
    monkeypatch.chdir(photo.parent)
    Path("broken.png").write_bytes(photo.read_bytes()[:400])
    good = ("--pretrained_model_name_or_path", model, "--image_path", photo, "--output_path", "caption.txt")
    status, out, err = call(*good, *flags)
    assert status == 2 and out == "" and not Path("caption.txt").exists()
    (line,) = err.strip().splitlines()
    assert line.startswith("error: ") and words in line


@pytest.mark.parametrize(
    "flags", [(), ("--image_category", "all"), ("--max_new_tokens", "0"), ("--caption_source", "shop")]
)
def test_wrong_flags_show_the_usage(flags, photo, call):
    paths = ("--image_path", photo, "--output_path", "caption.txt") if flags else ()
    status, _, err = call(*paths, *flags)
    assert status == 2 and "usage:" in err

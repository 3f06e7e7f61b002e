"""inference.py as its users run it: the quick start, every flag that changes files, every mistake."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import inference
from drawn_people import draw_person
from temu_vtoff.segmentation.labels import ATR, Labels
from tests.script_calls import call as call_script
from tests.script_calls import error_line, heavy_imports
from tests.script_processes import python
from tests.tiny_stages import save_decided_segformer

ROOT = Path(__file__).parent.parent
QUICK = ("--num_inference_steps", "2")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder with two drawn people and a file that is no picture."""
    folder = tmp_path_factory.mktemp("photos")
    draw_person(901, "upper_body").photo.save(folder / "top.png")
    draw_person(902, "dresses").photo.save(folder / "dress.png")
    return folder


@pytest.fixture
def call(capsys):
    """Runs inference.py in this process: exit status, standard output, standard error."""
    return lambda *argv: (call_script(inference, *argv), *capsys.readouterr())


def run_script(*argv: object, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "inference.py"), *map(str, argv)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, env=os.environ)


def test_quick_start_as_printed(tmp_path):
    words = [
        *("--pretrained_model_name_or_path", "builtin", "--pretrained_model_name_or_path_sd3_tryoff", "builtin"),
        *("--example_image", "examples/example1.jpg", "--output_dir", tmp_path / "outputs"),
        *("--width", 192, "--height", 256, "--guidance_scale", "2.0", "--num_inference_steps", 28),
        *("--category", "upper_body"),
    ]
    answer = python(["inference.py", *words], ROOT)
    assert answer.returncode == 0, answer.stderr
    assert "knows drawn people only" in answer.stderr
    names = {path.name for path in (tmp_path / "outputs").iterdir()}
    endings = ("output.png", "binary_mask.png", "fine_mask.png", "caption.txt", "panel.png")
    assert names == {"run.json", "results.jsonl", "journal", *(f"example1_{ending}" for ending in endings)}
    assert answer.stdout.splitlines() == [str(tmp_path / "outputs" / "example1_output.png")]

    output = np.asarray(Image.open(tmp_path / "outputs" / "example1_output.png"))
    assert output.shape == (256, 192, 3)
    assert (output[:4] > 240).mean() > 0.99 and (output < 230).any(-1).mean() > 0.1  # a garment on white
    mask = Image.open(tmp_path / "outputs" / "example1_binary_mask.png")
    assert mask.mode == "L" and set(np.unique(mask)) == {0, 255}
    fine = np.asarray(Image.open(tmp_path / "outputs" / "example1_fine_mask.png"))
    assert (fine[np.asarray(mask) == 255] == 128).all()
    record = json.loads((tmp_path / "outputs" / "run.json").read_text())
    assert record["arguments"]["seed"] == 0 and record["models"]["tryoff"] == "builtin" and not record["failures"]
    assert record["seconds"] > 0 and record["versions"]["torch"]
    assert set(record["stages"]) == {"segment", "caption", "try off"}


def test_all_garments_of_a_folder_and_bad_files_are_skipped(call, photos, tmp_path):
    (tmp_path / "in").mkdir()
    for path in photos.iterdir():
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "in" / "broken.jpg").write_text("no picture")
    Image.new("RGB", (192, 256), "white").save(tmp_path / "in" / "empty.png")
    status, out, err = call(
        "--example_image", tmp_path / "in", "--category", "all", "--output_dir", tmp_path / "out", *QUICK
    )
    assert status == 1
    assert "broken.jpg can't be read as a picture" in err
    assert f"skipped {tmp_path / 'in' / 'empty.png'}: There is no" in err
    made = [Path(line).name for line in out.splitlines()]
    assert made == ["dress_dresses_output.png", "top_upper_body_output.png", "top_lower_body_output.png"]
    failures = json.loads((tmp_path / "out" / "run.json").read_text())["failures"]
    assert {Path(name).name for name in failures} == {"broken.jpg", "empty.png"}


def test_seeds_and_several_pictures(call, photos, tmp_path):
    common = ("--example_image", photos / "top.png", *QUICK)
    call(*common, "--output_dir", tmp_path / "a", "--num_images", 2, "--seed", 0)
    call(*common, "--output_dir", tmp_path / "b", "--seed", 1)
    call(*common, "--output_dir", tmp_path / "c", "--seed", 0)
    first, second = (np.asarray(Image.open(tmp_path / "a" / f"top_{name}.png"), int) for name in ("output", "output_2"))
    assert np.abs(np.asarray(Image.open(tmp_path / "b" / "top_output.png"), int) - second).max() <= 1
    assert np.abs(np.asarray(Image.open(tmp_path / "c" / "top_output.png"), int) - first).max() <= 1
    assert np.abs(first - second).max() > 1


def test_given_mask_and_caption_are_used(call, photos, tmp_path):
    mask = Image.new("L", (192, 256))
    mask.paste(255, (60, 80, 130, 160))
    mask.save(tmp_path / "mask.png")
    call(
        *("--example_image", photos / "top.png", "--mask", tmp_path / "mask.png", "--output_dir", tmp_path),
        *("--caption", "a t-shirt", *QUICK),
    )
    assert Image.open(tmp_path / "top_binary_mask.png").getbbox() == (60, 80, 130, 160)
    assert (tmp_path / "top_caption.txt").read_text() == "a t-shirt\n"


@pytest.mark.parametrize("mode", ["pad", "crop", "stretch"])
def test_other_aspect_ratios_and_sizes(call, photos, tmp_path, mode):
    person = draw_person(901, "upper_body")
    worn = Image.fromarray((np.asarray(person.label_map) == 4).astype(np.uint8) * 255)
    wide, mask = Image.new("RGBA", (400, 256), "white"), Image.new("L", (400, 256))
    wide.paste(person.photo, (104, 0))
    mask.paste(worn, (104, 0))
    wide.save(tmp_path / "wide.png")
    mask.save(tmp_path / "mask.png")
    status, _, err = call(
        *("--example_image", tmp_path / "wide.png", "--mask", tmp_path / "mask.png", "--resize_mode", mode),
        *("--width", 160, "--height", 224, "--output_dir", tmp_path / "out", *QUICK),
    )
    assert status == 0, err
    for name in ("output", "binary_mask", "fine_mask"):
        assert Image.open(tmp_path / "out" / f"wide_{name}.png").size == (160, 224)
    box, true_box = Image.open(tmp_path / "out" / "wide_binary_mask.png").getbbox(), worn.getbbox()
    shape, true_shape = ((x1 - x0) / (y1 - y0) for x0, y0, x1, y1 in (box, true_box))
    squeeze = (160 / 400) / (224 / 256) if mode == "stretch" else 1
    assert shape == pytest.approx(true_shape * squeeze, rel=0.05)


def test_a_huge_and_a_tiny_photo(call, photos, tmp_path):
    Image.open(photos / "top.png").resize((6000, 8000)).save(tmp_path / "huge.jpg")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    status, out, _ = call("--example_image", tmp_path / "huge.jpg", "--output_dir", tmp_path, *QUICK)
    assert status == 0 and Image.open(out.strip()).size == (192, 256)
    status, _, err = call("--example_image", tmp_path / "dot.png", "--output_dir", tmp_path, *QUICK)
    assert status == 2 and "There is no upper_body garment" in error_line(err)


def test_mistakes_end_with_one_sentence_and_status_2(call, photos, tmp_path, monkeypatch):
    photo = ("--example_image", photos / "top.png", "--output_dir", tmp_path / "out")
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "file").touch()
    Image.new("L", (10, 10)).save(tmp_path / "square.png")
    cases = {
        ("--example_image", "gone.jpg"): "There is no picture at gone.jpg",
        ("--example_image", tmp_path / "text.png"): "can't be read as a picture",
        ("--example_image", tmp_path / "nothing"): "no pictures in the folder",
        (*photo, "--width", 200): "width 200 is not a multiple of 16; the nearest is 192",
        (*photo, "--height", 5): "height 5 is not a multiple of 16; the nearest is 16",
        (
            "--example_image",
            photos / "dress.png",
            "--category",
            "lower_body",
        ): r"dress\.png: There is no lower_body garment",
        (*photo, "--num_images", 10**9): "--num_images is 1000000000; give 1 to 1000",
        (*photo, "--caption", "\udcff"): "caption .* is damaged: it holds half a character",
        (*photo, "--mask", tmp_path / "square.png"): r"the mask .*square\.png is 10x10, the photo 192x256",
        (*photo, "--mask", tmp_path / "square.png", "--category", "all"): "--mask is for one photo and one category",
        (*photo, "--caption", "x", "--category", "all"): "--caption is for one category",
        (*photo[:2], "--output_dir", tmp_path / "file"): "output folder .*file can't be made",
        (*photo, "--device", "toaster"): "--device is 'toaster'; give cpu",
        (*photo, "--device", "cuda:7"): "torch sees 0 CUDA devices",
        (*photo, "--pretrained_model_name_or_path", tmp_path / "nothing"): "Not a complete checkpoint",
        (*photo, "--pretrained_model_name_or_path_sd3_tryoff", "davidelobba/TEMU-VTOFF"): "the hub can't be reached",
        (*photo, "--segmentation_model", "nobody/nothing"): "the segmenter nobody/nothing",
        (*photo, "--caption_model", "nobody/nothing"): "the captioner nobody/nothing",
    }
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    for argv, message in cases.items():
        status, out, err = call(*argv, *QUICK)
        assert status == 2 and out == "", (argv, err)

        assert re.search(message, error_line(err)), (argv, err)


def test_an_output_folder_that_is_not_writable(tmp_path, monkeypatch):
    from temu_vtoff.files import writable_folder

    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(ValueError, match=r"output folder .* is not writable"):
        writable_folder(tmp_path)


def test_out_of_memory_says_what_helps(call, photos, tmp_path, monkeypatch):
    import torch

    from temu_vtoff import TryOffPipeline

    def exhausted(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(TryOffPipeline, "__call__", exhausted)
    status, _, err = call("--example_image", photos / "top.png", "--output_dir", tmp_path, *QUICK)
    assert status == 2 and "--offload model" in error_line(err)


def test_a_jacket_is_told_from_the_top_under_it(call, photos, tmp_path):
    labels = Labels((*ATR.names, "Outer-clothes"))
    save_decided_segformer(tmp_path / "layers", labels, other=len(ATR.names))
    flags = ("--example_image", photos / "top.png", "--segmentation_model", tmp_path / "layers", *QUICK)
    masks = []
    for category in ("outer", "inner"):
        status, out, err = call(*flags, "--category", category, "--output_dir", tmp_path / category)
        assert status == 0 and out.splitlines() == [str(tmp_path / category / "top_output.png")], err
        masks.append(np.asarray(Image.open(tmp_path / category / "top_binary_mask.png")) > 0)
    assert all(mask.any() for mask in masks) and not (masks[0] & masks[1]).any()
    assert json.loads((tmp_path / "outer" / "run.json").read_text())["arguments"]["category"] == "outer"
    save_decided_segformer(tmp_path / "plain", ATR)
    flags = (*flags[:2], "--segmentation_model", tmp_path / "plain", *QUICK)
    status, _, err = call(*flags, "--category", "outer", "--output_dir", tmp_path / "none")
    assert status == 2 and "the segmenter sayeed99/segformer-b3-fashion can" in error_line(err)
    assert not (tmp_path / "none").exists()


def test_a_category_that_the_weights_dont_make(call, photos, tmp_path):
    status, _, err = call(
        "--example_image", photos / "top.png", "--category", "shoes", "--output_dir", tmp_path / "none"
    )
    assert status == 2 and "--category is 'shoes', which --backend temu-vtoff doesn't make" in error_line(err)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("flag", ["--lora", "--caption_model", "--image_encoder_large"])
def test_a_model_that_the_last_stage_needs_is_missed_at_once(call, photos, tmp_path, flag):
    gone = tmp_path / "gone.safetensors"
    status, _, err = call("--example_image", photos / "top.png", flag, gone, "--output_dir", tmp_path / "none")
    assert status == 2 and f"there is no folder {gone}" in error_line(err) and f"argument {flag}" in err
    assert not (tmp_path / "none").exists()


def test_bad_flags_and_help_of_the_real_script(tmp_path):
    for argv in (("--category", "tie"), ("--num_inference_steps", "0"), ("--seed", "x"), ("--no_such_flag",)):
        answer = run_script(*argv)
        assert answer.returncode == 2 and "error: " in answer.stderr and "Traceback" not in answer.stderr
    missing = run_script("--example_image", "gone.jpg", cwd=tmp_path)
    assert missing.returncode == 2 and error_line(missing.stderr) == "error: There is no picture at gone.jpg."
    shown = run_script("--example_image", "gone.jpg", "--debug", cwd=tmp_path)
    assert shown.returncode == 1 and "Traceback" in shown.stderr


def test_a_mistake_in_photo_or_size_is_told_before_anything_heavy_is_imported():
    for argv, error in ((["--example_image", "gone.jpg"], "FileNotFoundError"), (["--width", "200"], "ValueError")):
        call = f"unittest.TestCase().assertRaises({error}, inference.main, inference.parse_args({argv}))"
        assert heavy_imports(f"import inference, unittest; {call}") == set()


def test_help_answers_within_a_second():
    import time

    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        answer = run_script("--help")
        seconds.append(time.perf_counter() - began)
        assert answer.returncode == 0 and "--example_image" in answer.stdout
    assert min(seconds) < 1

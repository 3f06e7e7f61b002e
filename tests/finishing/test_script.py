"""The finishing flags of inference.py, and the commands of docs/finishing.md."""

import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image

import command_line
import inference
from drawn_people import draw_person
from tests import script_calls
from tests.script_calls import ROOT

DOCUMENT = (ROOT / "docs" / "finishing.md").read_text(encoding="utf-8")


def test_documented_commands_are_understood():
    lines = [line for line in DOCUMENT.splitlines() if line.startswith("python inference.py ")]
    for line in lines:
        args = inference.parse_args(shlex.split(line)[2:])
        command_line.options(args)
        command_line.selection(args)
    assert len(lines) == 3
    flags = set(re.findall(r"`(--\w+)`", DOCUMENT))
    assert flags >= {"--background", "--canvas", "--upscaler", "--check_captions"}
    parser_flags = {f"--{name}" for name in vars(inference.parse_args([]))}
    assert flags <= parser_flags


def test_a_finished_best_picture_and_its_record(tmp_path, capsys):
    draw_person(901, "upper_body").photo.save(tmp_path / "top.png")
    status = script_calls.call(
        inference,
        *("--example_image", tmp_path / "top.png", "--output_dir", tmp_path / "out", "--num_inference_steps", 2),
        *("--num_images", 2, "--pick", "best", "--background", "white", "--margin", "8%", "--canvas", "300x400"),
        *("--output_format", "webp", "--caption", "a shirt", "--upscale", 2),
    )
    err = capsys.readouterr().err
    assert status == 0 and err.count("Lanczos") == 1, err
    assert {path.name for path in (tmp_path / "out").glob("*output*")} == {"top_output.webp"}
    with Image.open(tmp_path / "out" / "top_output.webp") as picture:
        assert picture.size == (300, 400) and (np.asarray(picture)[:10] >= 253).all()
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    (fact,) = record["quality"]["top"]
    assert fact["seed"] in (0, 1) and 0 < fact["score"] < 1 and "agreement" in fact["parts"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--background", "transparent", "--output_format", "jpg"], "--output_format png or webp"),
        (["--canvas", "10x10", "--keep_size"], "--keep_size and --canvas both give a size"),
        (["--pick", "best"], "--pick best needs a choice: give --num_images 2 or more"),
        (["--keep_all"], "--keep_all is for --pick best"),
        (["--retries", "2"], "Give --retries and --min_quality together"),
    ],
)
def test_contradictions_end_with_one_sentence_before_anything_is_written(tmp_path, capsys, flags, message):
    assert script_calls.call(inference, "--output_dir", tmp_path / "out", *flags) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()

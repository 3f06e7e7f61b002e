"""inference.py on lists, addresses and several photos of one garment, and its results.jsonl."""

import json
import shlex
from pathlib import Path

import pytest
from PIL import ImageFilter

import inference
from drawn_people import draw_person
from temu_vtoff import TryOff
from temu_vtoff.runs.garment_files import keep_last_lines, last_lines
from tests import script_calls
from tests.picture_server import png, serving
from tests.script_calls import ROOT

DOCUMENT = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8")
QUICK = ("--num_inference_steps", 1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    person = draw_person(901, "upper_body").photo
    person.save(folder / "sku7_front.png")
    person.filter(ImageFilter.GaussianBlur(3)).save(folder / "sku7_far.png")
    return folder


@pytest.fixture
def call(capsys):
    """Runs inference.py in this process: exit status, standard output, standard error."""
    return lambda *argv: (script_calls.call(inference, *argv, *QUICK), *capsys.readouterr())


def test_a_list_with_addresses_groups_and_a_bad_row(call, photos, tmp_path):
    with serving({"/dress.png": png(draw_person(902, "dresses").photo)}) as (address, _):
        (tmp_path / "list.csv").write_text(
            "photo,category,caption,name,sku\n"
            f"{photos}/sku7_far.png,upper_body,a shirt,,7\n"
            f"{photos}/sku7_front.png,upper_body,a shirt,,7\n"
            f"{address}/dress.png,dresses,a dress,D-1,\n"
            f"{address}/gone.png,dresses,,D-2,\n"
        )
        flags = ("--list", tmp_path / "list.csv", "--group_by", "sku", "--output_dir", tmp_path / "out")
        status, out, err = call(*flags, "--private_addresses")
    assert status == 1 and err.count("skipped ") == 1 and f"{address}/gone.png can't be fetched" in err
    names = [Path(line).name for line in out.splitlines()]
    assert names == ["7_output.png", "7_alternative_1_output.png", "D-1_output.png"]
    text = (tmp_path / "out" / "results.jsonl").read_text()
    first, second, third = map(json.loads, text.splitlines())
    assert first["photo"].endswith("sku7_front.png") and first["chosen"].startswith("sku7_front.png: ")
    assert [other["photo"].endswith("sku7_far.png") for other in first["alternatives"]] == [True]
    assert second["name"] == "D-1" and second["caption"] == "a dress" and second["attributes"]["type"] == "dress"
    for key in ("mask", "masked_image", "panel", "caption_file", "outputs"):
        for name in [second[key]] if isinstance(second[key], str) else second[key]:
            assert (tmp_path / "out" / name).is_file(), key
    assert Path(second["fetched"]).is_file() and second["photo"] == f"{address}/dress.png"
    assert 0 < second["mask_area"] < 1 and second["seed"] == 0 and second["seconds"] > 0
    assert second["quality"][0]["score"] > 0 and second["models"]["tryoff"] == "builtin"
    assert (third["name"], third["status"]) == ("D-2", "failed") and "status 404" in third["error"]


def test_photos_are_grouped_by_a_pattern(call, photos, tmp_path):
    flags = ("--example_image", photos, "--caption", "a shirt", "--output_dir", tmp_path)
    status, out, err = call(*flags, "--group_by", "sku[0-9]+")
    assert status == 0 and "Traceback" not in err
    assert [Path(line).name for line in out.splitlines()] == ["sku7_output.png", "sku7_alternative_1_output.png"]
    (line,) = last_lines(tmp_path).values()
    assert line["group"] == "sku7" and line["photo"].endswith("sku7_front.png")


def test_a_run_that_ends_early_keeps_its_lines(call, photos, tmp_path, monkeypatch):
    generate = TryOff.generate

    def stopped(self, *args, **how):
        yield next(generate(self, *args, **how))
        raise KeyboardInterrupt

    flags = ("--example_image", photos, "--caption", "a shirt", "--output_dir", tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(TryOff, "generate", stopped)
        assert call(*flags)[0] == 130
    assert list(last_lines(tmp_path)) == ["sku7_far"]
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"name": "sku7_front", "sta')  # as a kill leaves it
    assert call(*flags)[0] == 0
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["sku7_far", "sku7_front"]


def test_the_last_line_of_a_name_counts(tmp_path):
    (tmp_path / "results.jsonl").write_text('{"name": "a", "n": 1}\n[]\n{"name": "b"}\n{"name": "a", "n": 2}\n')
    keep_last_lines(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert lines == [{"name": "a", "n": 2}, {"name": "b"}]


def test_mistakes_end_with_one_sentence_and_nothing_is_written(call, photos, tmp_path):
    (tmp_path / "list.csv").write_text(f"photo,sku\n{photos}/sku7_far.png,1\n")
    listed = ("--list", tmp_path / "list.csv")
    cases = {
        (*listed, "--caption", "x"): "leave out --caption",
        (*listed, "--example_image", photos): "leave out --example_image",
        (*listed, "--group_by", "colour"): "--group_by is 'colour', and the list's columns are photo, sku",
        ("--list", tmp_path / "gone.csv"): "There is no list",
        ("--group_by", "("): "--group_by is '(', which is no regular expression",
    }
    for argv, words in cases.items():
        status, out, err = call(*argv, "--output_dir", tmp_path / "out")
        assert status == 2 and not out and words in err and "Traceback" not in err, (argv, err)
        assert not (tmp_path / "out").exists()
    status, out, err = call("--example_image", "http://127.0.0.1:9/a.png", "--output_dir", tmp_path / "out")
    assert status == 2 and "127.0.0.1 is a private address" in err and err.count("error: ") == 1
    assert not (tmp_path / "out").exists()


def test_documented_commands_are_understood():
    lines = [line for line in DOCUMENT.splitlines() if line.startswith("python inference.py ")]
    assert len(lines) == 3
    for line in lines:
        inference.parse_args(shlex.split(line)[2:])

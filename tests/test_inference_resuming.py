"""inference.py called again with the same command: what is finished stays, what is missing or damaged is made."""

import json
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

import inference
from drawn_people import draw_person
from temu_vtoff import TryOff
from temu_vtoff.runs.finished import FinishedResults
from temu_vtoff.runs.garment_files import last_lines
from temu_vtoff.runs.photo_plan import PhotoPlan
from temu_vtoff.stages.reading import as_garments
from tests import script_calls
from tests.script_processes import contents, kill_when, start

QUICK = ("--num_inference_steps", 1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two photos of one garment, and one of another person."""
    folder = tmp_path_factory.mktemp("photos")
    person = draw_person(901, "upper_body").photo
    person.save(folder / "sku7_front.png")
    person.filter(ImageFilter.GaussianBlur(3)).save(folder / "sku7_far.png")
    draw_person(902, "dresses").photo.save(folder / "dress.png")
    return folder


@pytest.fixture
def call(capsys):
    """Runs inference.py in this process: exit status, standard output, standard error."""
    return lambda *argv: (script_calls.call(inference, *argv, *QUICK), *capsys.readouterr())


@pytest.fixture
def segmented(monkeypatch) -> list[list[str]]:
    """The names of the photos of each call of the first stage."""
    calls, segment = [], TryOff.segment

    def recorded(self, photos, *args, **how):
        garments = segment(self, photos, *args, **how)
        calls.append(sorted({garment.listed for garment in garments}))
        return garments

    monkeypatch.setattr(TryOff, "segment", recorded)
    return calls


def test_only_what_is_missing_damaged_or_different_is_made(call, photos, segmented, tmp_path):
    files = (photos / "sku7_front.png", photos / "dress.png")
    argv = ("--example_image", *files, "--category", "all", "--output_dir", tmp_path)
    status, out, err = call(*argv, "--num_images", 2)
    assert status == 0 and segmented == [["dress", "sku7_front"]] and "--overwrite" not in err
    made, record = contents(tmp_path, "*.png"), json.loads((tmp_path / "run.json").read_text())
    damaged = tmp_path / Path(out.splitlines()[0]).name

    assert call(*argv, "--num_images", 2)[:2] == (0, out) and len(segmented) == 1  # no model was loaded
    again = json.loads((tmp_path / "run.json").read_text())
    assert again["outputs"] == record["outputs"] and again["quality"] == record["quality"]

    damaged.write_bytes(damaged.read_bytes()[:-9])
    status, same, err = call(*argv, "--num_images", 2)
    assert (status, same, segmented[1:]) == (0, out, [["sku7_front"]]) and contents(tmp_path, "*.png") == made
    assert f"1 of 2 photos were finished before in {tmp_path}; --overwrite makes them again." in err

    assert call(*argv)[0] == 0 and segmented[2:] == [["dress", "sku7_front"]]
    assert not list(tmp_path.glob("*_output_2.png")), "of the run with two pictures"
    call(*argv, "--overwrite")
    call(*argv, "--seed", 5)
    assert segmented[3:] == 2 * [["dress", "sku7_front"]]


def test_a_group_is_finished_as_a_whole(call, photos, segmented, tmp_path):
    Image.new("RGB", (192, 256), "white").save(tmp_path / "empty.png")
    files = (tmp_path / "empty.png", photos / "sku7_far.png", photos / "sku7_front.png")
    grouped = ("--example_image", *files, "--caption", "a shirt", "--group_by", "sku[0-9]+")
    argv = (*grouped, "--output_dir", tmp_path / "out")
    status, out, err = call(*argv)
    assert status == 1 and "skipped" in err and "empty.png" in err
    names = [Path(line).name for line in out.splitlines()]
    assert names == ["sku7_output.png", "sku7_alternative_1_output.png"]
    assert call(*argv)[:2] == (1, out) and segmented[1:] == [["empty"]]  # what failed is tried again
    (tmp_path / "out" / names[1]).unlink()
    assert call(*argv)[:2] == (1, out) and segmented[2:] == [["empty", "sku7_far", "sku7_front"]]


def test_a_killed_run_is_completed_with_the_same_bytes(call, photos, tmp_path):
    common = ("--example_image", photos / "sku7_front.png", photos / "sku7_far.png", "--caption", "a shirt")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    argv = (*common, *QUICK, "--output_dir", killed)
    assert kill_when(start("inference", argv), lambda: len(list(killed.glob("*_panel.png"))) >= 1)
    assert call(*common, "--output_dir", killed)[0] == 0
    assert call(*common, "--output_dir", whole)[0] == 0
    assert contents(killed, "*.png") == contents(whole, "*.png")
    lines = (killed / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["sku7_front", "sku7_far"]


def without(entry: dict, **other: object) -> str:
    """An entry in which some values are others, and those given as ... are missing."""
    return json.dumps({key: value for key, value in (entry | other).items() if value is not ...}) + "\n"


def test_damaged_records_of_results_are_made_again(call, photos, segmented, tmp_path, caplog):
    argv = ("--example_image", photos / "dress.png", "--output_dir", tmp_path, "--caption", "a dress")
    _, out, _ = call(*argv, "--category", "dresses")
    made, journal, results = (
        contents(tmp_path, "*.png"),
        tmp_path / "journal/inference.0.jsonl",
        tmp_path / "results.jsonl",
    )
    entry, line = (json.loads(path.read_text().splitlines()[-1]) for path in (journal, results))
    damages = [(journal, without(entry, **change)) for change in ({"files": ...}, {"files": [1]}, {"names": 5})]
    changes = ({"quality": ...}, {"outputs": None}, {"outputs": [1]}, {"warnings": ...})
    damages += [(results, without(line, **change)) for change in changes]
    damages += [(results, "\0" * 99 + "\n"), (results, '["dress"]\n')]
    for count, (path, text) in enumerate(damages, 2):
        path.write_text(text)
        assert call(*argv, "--category", "dresses")[:2] == (0, out)
        assert contents(tmp_path, "*.png") == made and len(segmented) == count
    results.write_text(without(line, alternatives=None))
    assert call(*argv, "--category", "dresses")[:2] == (0, out) and len(segmented) == count


def test_lines_beside_damaged_ones_are_read_with_a_warning(tmp_path, caplog):
    lines = [
        '\ufeff{"name": "first"}',
        "\xe9",
        "\0\0",
        "[]",
        '{"name": ["list"]}',
        '{"name": "torn',
        '{"name": "last"}',
    ]
    (tmp_path / "results.jsonl").write_bytes("\n".join(lines).encode("utf-8").replace(b"\xc3\xa9", b"\xe9"))
    assert list(last_lines(tmp_path)) == ["first", "last"]
    assert "results.jsonl: 3 damaged lines are passed over" in caplog.text


def test_no_result_takes_the_place_of_a_photo_or_mask_of_the_run(call, photos, tmp_path):
    photo, other, mask = (tmp_path / name for name in ("a.png", "a_upper_body_output.png", "a_binary_mask.png"))
    photo.write_bytes((photos / "dress.png").read_bytes())
    other.write_bytes((photos / "sku7_far.png").read_bytes())
    Image.new("L", (192, 256), 255).save(mask)
    before = contents(tmp_path, "*")
    for inputs, lost in (((photo, other), other), ((photo, "--mask", mask), mask)):
        status, out, err = call("--example_image", *inputs, "--output_dir", tmp_path)
        assert status == 2 and script_calls.error_line(err) == (
            f"error: A result would replace {lost}: give another --output_dir."
        )
    assert not out and contents(tmp_path, "*") == before
    assert PhotoPlan.of(
        as_garments([other], "upper_body", "temu-vtoff"), FinishedResults(tmp_path, "inference", {})
    ).left

"""try_on.py over many pairs: lists of pairs, resuming, and product pictures that are photos of somebody."""

import json
import shutil
from pathlib import Path

import pytest

import try_on
from drawn_people import draw_person
from temu_vtoff.runs.finished import unfinished_batches
from temu_vtoff.runs.pair_plan import PairPlan
from tests import script_calls
from tests.script_calls import error_line
from tests.script_processes import contents, kill_when, start
from tests.test_try_on import QUICK


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Two persons and their product pictures, below names with spaces."""
    folder = tmp_path_factory.mktemp("pictures")
    for place, seed in (("ann 1", 901), ("bob", 904)):
        person = draw_person(seed, "upper_body")
        for kind, picture in (("persons", person.photo), ("garments", person.garments["upper_body"].product)):
            (folder / kind).mkdir(exist_ok=True)
            picture.save(folder / kind / f"{place}.png")
    return folder


@pytest.fixture
def call(capsys):
    """Runs try_on.py in this process: exit status, standard output, standard error."""
    return lambda *argv: (script_calls.call(try_on, *argv), *capsys.readouterr())


def folders(pictures: Path) -> tuple:
    return ("--person_image", pictures / "persons", "--garment_image", pictures / "garments", *QUICK)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_list_of_pairs_in_any_encoding(pictures, tmp_path, encoding):
    listed = tmp_path / "pairs.txt"
    listed.write_bytes("ann 1.png\tbob.png\r\n\r\nbob.png ann 1.png\r\nbob.png größe.png\r\n".encode(encoding))
    plan = PairPlan.read(listed, pictures / "persons", pictures / "garments")
    assert [path.name for path in plan.persons] == ["ann 1.png", "bob.png"]
    assert [path.name for path in plan.garments] == ["bob.png", "ann 1.png", "größe.png"]
    assert plan.names == ["ann 1_bob", "bob_ann 1", "bob_größe"]
    assert PairPlan.read(listed).persons[0] == tmp_path / "ann 1.png", "relative to the file"


def test_names_of_pairs_never_overwrite_each_other():
    plan = PairPlan.every([Path("a.png"), Path("a_b.png"), Path("x/a.png")], [Path("b_c.png"), Path("c.png")])
    assert len({name.casefold() for name in plan.names}) == 6


def test_batches_with_something_left_stay_whole():
    assert unfinished_batches(range(7), 3, lambda number: number < 4) == [3, 4, 5, 6]
    assert unfinished_batches(range(7), 3, lambda number: True) == []


def test_pairs_are_made_once_and_again_only_when_something_changed(call, pictures, tmp_path):
    listed, out = tmp_path / "pairs.txt", tmp_path / "out"
    listed.write_text("ann 1.png bob.png\nbob.png ann 1.png\n")
    argv = (*folders(pictures), "--pairs", listed, "--output_dir", out)
    status, stdout, err = call(*argv)
    assert status == 0, err
    assert stdout.splitlines() == [str(out / "ann 1_bob_output.png"), str(out / "bob_ann 1_output.png")]
    first, made = contents(out, "*.png"), {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    (out / "bob_ann 1_output.png").write_bytes(first["bob_ann 1_output.png"][:-9])
    assert call(*argv)[:2] == (0, stdout) and contents(out, "*.png") == first
    again = {path.name for path, time in made.items() if path.stat().st_mtime_ns != time}
    assert again == {f"bob_ann 1_{ending}.png" for ending in ("region", "output", "panel")}
    assert json.loads((out / "run.json").read_text())["outputs"] == stdout.splitlines()
    broken = ("--tryon_model", tmp_path)  # with nothing left, no model is loaded
    assert call(*argv)[0] == 0 and call(*argv, *broken)[0] == 2
    assert call(*argv, "--seed", 5)[0] == 0
    assert contents(out, "*_output.png")["ann 1_bob_output.png"] != first["ann 1_bob_output.png"]


def test_a_killed_run_is_completed_with_the_same_bytes(call, pictures, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert call(*folders(pictures), "--output_dir", whole)[0] == 0
    argv = (*folders(pictures), "--output_dir", killed)
    assert kill_when(start("try_on", argv), lambda: len(list(killed.glob("*_panel.png"))) >= 1)
    assert call(*argv)[0] == 0
    assert contents(killed, "*.png") == contents(whole, "*.png") and len(contents(whole, "*_output.png")) == 4


def test_a_photo_of_somebody_is_no_product_picture(call, pictures, tmp_path):
    person, out = pictures / "persons" / "bob.png", tmp_path / "out"
    argv = ("--person_image", pictures / "persons" / "ann 1.png", *QUICK, "--output_dir", out)
    status, _, err = call(*argv, "--garment_image", person)
    assert status == 2 and "--garment_image is a photo of somebody" in error_line(err) and "--garment_from" in err
    assert not out.exists()
    assert call(*argv, "--garment_image", person, "--any_garment")[0] == 0
    shutil.rmtree(out)
    status, stdout, err = call(*argv, "--garment_image", person, pictures / "garments" / "bob.png")
    assert status == 1 and len(stdout.splitlines()) == 1 and err.count("is a photo of somebody") == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), ["--person_image", "--garment_image", "--garment_from", "--pairs"]),
        (("--pairs", "gone.txt"), ["no pairs file gone.txt"]),
        (("--pairs", "empty.txt"), ["empty.txt is empty"]),
        (("--pairs", "one.txt"), ["one.txt, line 1", "is not a pair"]),
        (("--pairs", "two.txt", "--person_image", "two.txt"), ["--person_image is one folder"]),
        (("--pairs", "two.txt"), ["no picture at a.png"]),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_is_written(call, tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    for name, text in (("empty", ""), ("one", "a.png\n"), ("two", "a.png b.png\n")):
        (tmp_path / f"{name}.txt").write_text(text)
    status, stdout, err = call(*flags, *QUICK, "--output_dir", "out")
    assert status == 2 and not stdout and all(word in error_line(err) for word in words), err
    assert not (tmp_path / "out").exists()

"""Shirts with words."""

import json
from pathlib import Path

import numpy as np

from drawn_people import draw_correspondence, draw_person
from drawn_people.layouts import People, write_dresscode
from drawn_people.letters import WORDS
from temu_vtoff.metrics.prints import read_prints


def test_the_print_lies_in_its_box_and_nowhere_else() -> None:
    for seed in range(5):
        garment = draw_person(seed, "upper_body", letters=True).garments["upper_body"]
        assert garment.word in WORDS and "".join(letter for letter, _ in garment.print.letters) == garment.word
        left, top, right, bottom = (round(edge) for edge in garment.print.box)
        around = np.asarray(garment.product, float)[top - 3 : bottom + 3, left - 3 : right + 3]
        ink = np.linalg.norm(around - np.array(garment.color), axis=2) > 70
        assert 0.15 < ink[3:-3, 3:-3].mean() < 0.75
        assert ink[0].mean() < 0.1 and ink[-1].mean() < 0.1 and ink[:, 0].mean() < 0.1 and ink[:, -1].mean() < 0.1
        for _, box in garment.print.letters:
            x0, y0, x1, y1 = (round(edge) for edge in box)
            assert ink[y0 - top + 3 : y1 - top + 3, x0 - left + 3 : x1 - left + 3].mean() > 0.2


def test_only_tops_have_words_and_jackets_go_over_them() -> None:
    assert draw_person(3, "dresses", letters=True).garments["dresses"].word == ""
    assert draw_person(3, "lower_body", letters=True).garments["upper_body"].word in WORDS
    both = draw_person(3, "upper_body", layers=True, letters=True)
    assert both.garments["upper_body"].word in WORDS and (np.asarray(both.label_map) == 18).any()
    assert np.isfinite(draw_correspondence(3, "upper_body", letters=True)).any()


def test_the_truth_of_a_data_set_has_the_words(tmp_path: Path) -> None:
    write_dresscode(tmp_path, People(2, 2, width=96, height=128, letters=1.0))
    prints = read_prints(tmp_path, "test")
    lines = (tmp_path / "truth" / "test_upper_body.jsonl").read_text().splitlines()
    for facts in map(json.loads, lines):
        assert "".join(letter for letter, _ in prints[facts["id"]].letters) == facts["word"]
    assert "word" not in (tmp_path / "truth" / "test_dresses.jsonl").read_text()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    write_dresscode(tmp_path, People(2, 2, width=96, height=128, letters=1.0))
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}  # finished ones are kept

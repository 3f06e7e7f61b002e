"""Open jackets, cardigans and coats over another garment."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_people import CATEGORIES, DrawnPerson, draw_person
from drawn_people.layouts import People, convert_labels, write_dresscode, write_vitonhd
from drawn_people.swap import draw_try_on
from temu_vtoff.errors import ArgumentError

SEEDS = range(8)
UNDER = {"upper_body": 4, "lower_body": 4, "dresses": 7}  # label of what the jacket covers
OUTER = 18


@pytest.fixture(scope="module")
def people() -> dict[tuple[int, str], DrawnPerson]:
    return {(seed, category): draw_person(seed, category, layers=True) for seed in SEEDS for category in CATEGORIES}


def test_both_garments_show_and_have_products(people: dict) -> None:
    kinds = set()
    for (seed, category), person in people.items():
        labels = np.asarray(person.label_map)
        assert set(person.garments) == set(draw_person(seed, category, 96, 128).garments) | {"outer"}
        assert (labels == OUTER).mean() > 0.03, "hardly any jacket"
        assert (labels == UNDER[category]).sum() > 60, "hardly anything under it"
        outer = person.garments["outer"]
        assert (np.asarray(outer.silhouette) > 0).mean() > 0.08
        assert outer.caption.startswith(f"a {outer.attributes['Cloth Type']} with")
        kinds.add(outer.attributes["Cloth Type"])
    assert kinds == {"jacket", "cardigan", "coat"}


def test_the_jacket_is_open_on_both_sides_of_what_it_covers(people: dict) -> None:
    """In most rows of the jacket's front the other garments lie between two parts of it."""
    for (_, category), person in people.items():
        labels = np.asarray(person.label_map)
        between = 0
        rows = np.nonzero((labels == OUTER).any(1))[0]
        for row in rows:
            columns = np.nonzero(labels[row] == OUTER)[0]
            between += np.isin(labels[row, columns[0] : columns[-1]], (4, 5, 6, 7, 8, 11, 12, 13, 14, 15)).any()
        assert between > 0.7 * len(rows), category


def test_plain_jackets_have_their_colour_where_the_label_map_says_so(people: dict) -> None:
    plain = [person for person in people.values() if person.garments["outer"].pattern == "plain"]
    assert len(plain) > 8
    for person in plain:
        inside = np.asarray(person.photo)[np.asarray(person.label_map) == OUTER]
        assert np.abs(np.median(inside, axis=0) - person.garments["outer"].color).max() < 40


def test_the_person_and_the_room_are_the_same_as_without() -> None:
    """Of a photo that a coat doesn't make taller."""
    with_coat, without = draw_person(9, "dresses", layers=True), draw_person(9, "dresses")
    np.testing.assert_array_equal(with_coat.keypoints, without.keypoints)
    both = (np.asarray(with_coat.label_map) == 0) & (np.asarray(without.label_map) == 0)
    same = (np.asarray(with_coat.photo) == np.asarray(without.photo)).all(axis=2)
    assert same[both].mean() > 0.95


def test_lip_knows_it_as_a_coat() -> None:
    assert np.asarray(convert_labels(Image.fromarray(np.array([[4, 18]], np.uint8)), "vitonhd")).tolist() == [[5, 7]]


def test_the_jacket_stays_when_the_garment_is_swapped() -> None:
    worn = draw_try_on(3, 5, "upper_body", layers=True)
    own = draw_try_on(3, 3, "upper_body", layers=True, garment_layers=True)
    labels = np.asarray(worn.label_map)
    assert (labels == OUTER).mean() > 0.03 and (labels == 4).sum() > 60
    assert own.photo.tobytes() == draw_person(3, "upper_body", layers=True).photo.tobytes()


def test_layouts_hold_known_ids_and_the_truth_tells_both_garments_apart(tmp_path: Path) -> None:
    people = People(4, 3, width=96, height=128, layers=0.5)
    write_dresscode(tmp_path / "a", people)
    layered = 0
    for category in CATEGORIES:
        for phase in ("train", "test"):
            for line in (tmp_path / "a" / "truth" / f"{phase}_{category}.jsonl").read_text().splitlines():
                facts = json.loads(line)
                with Image.open(tmp_path / "a" / category / "label_maps" / f"{facts['id']}_4.png") as picture:
                    labels = np.asarray(picture)
                assert labels.max() <= 17
                truth = tmp_path / "a" / "truth" / "layers" / category / f"{facts['id']}.png"
                assert truth.exists() == truth.with_suffix(".jpg").exists() == ("outer" in facts)
                if "outer" in facts:
                    layered += 1
                    with Image.open(truth) as picture:
                        apart = np.asarray(picture)
                    assert (labels[apart == OUTER] == 4).all() and (labels == apart)[apart != OUTER].all()
    assert 5 < layered < 16  # of 21
    write_vitonhd(tmp_path / "b", People(2, 1, width=96, height=128, layers=1.0))
    for path in (tmp_path / "b").rglob("image-parse-v3/*.png"):
        with Image.open(path) as picture:
            assert (np.asarray(picture) == 7).any()


def test_another_share_draws_only_the_others_again(tmp_path: Path) -> None:
    def times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "truth" / "items").glob("*.json")}

    write_dresscode(tmp_path, People(3, 0, width=96, height=128))
    before = times()
    write_dresscode(tmp_path, People(3, 0, width=96, height=128, layers=0.5))
    changed = {name for name, time in times().items() if time != before[name]}
    assert changed == {
        f"{path.parent.name}_{path.stem}.json" for path in (tmp_path / "truth" / "layers").rglob("*.png")
    }
    assert 0 < len(changed) < 9


def test_an_impossible_share_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"is 1\.5; give a share from 0 to 1"):
        People(1, 1, layers=1.5)

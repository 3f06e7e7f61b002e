import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from drawn_people import CATEGORIES, PATTERNS, DrawnPerson, draw_person
from drawn_people.body import draw_body_parameters
from drawn_people.garments import Design, draw_design, draw_product
from drawn_people.layouts import convert_labels

LABELS = {"upper_body": {4}, "lower_body": {5, 6}, "dresses": {7}}
SEEDS = range(12)


@pytest.fixture(scope="module")
def people() -> dict[tuple[int, str], DrawnPerson]:
    return {(seed, category): draw_person(seed, category) for seed in SEEDS for category in CATEGORIES}


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def test_same_seed_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "from drawn_people import draw_person; import hashlib; p = draw_person(7, 'dresses');"
        "print(hashlib.sha256(p.photo.tobytes() + p.garments['dresses'].product.tobytes()).hexdigest())"
    )
    prints = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(prints) == 1
    first, second, other = (draw_person(seed, "dresses") for seed in (7, 7, 8))
    assert first.photo.tobytes() == second.photo.tobytes() != other.photo.tobytes()


@pytest.mark.parametrize("category", CATEGORIES)
def test_size_changes_the_resolution_only(category: str) -> None:
    small, large = draw_person(3, category), draw_person(3, category, 384, 512)
    assert small.garments[category].caption == large.garments[category].caption
    np.testing.assert_allclose(small.keypoints * 2, large.keypoints, rtol=1e-4)
    for of in (lambda p: p.garments[category].silhouette, lambda p: p.label_map.point(lambda i: 255 * (i > 0))):
        halved = of(large).resize((192, 256), Image.Resampling.BOX)
        assert overlap(np.asarray(of(small)) > 127, np.asarray(halved) > 127) > 0.97
    difference = np.asarray(small.photo, float) - np.asarray(
        large.photo.resize((192, 256), Image.Resampling.BOX), float
    )
    assert np.abs(difference).mean() < 4


def test_labels_are_valid_and_the_garment_shows(people: dict) -> None:
    for (_, category), person in people.items():
        labels = np.asarray(person.label_map)
        assert person.photo.size == person.label_map.size == (192, 256)
        assert labels.max() <= 17
        worn = np.isin(labels, list(LABELS[category])).mean()
        assert worn > 0.03, f"hardly any {category}"
        assert set(person.garments) == ({"dresses"} if category == "dresses" else {"upper_body", "lower_body"})


def test_labels_lie_where_the_paint_is(people: dict) -> None:
    """Plain garments have their own colour where the label map says so."""
    checked = 0
    for (_, category), person in people.items():
        garment = person.garments[category]
        if garment.pattern != "plain":
            continue
        inside = np.asarray(person.photo)[np.isin(np.asarray(person.label_map), list(LABELS[category]))]
        assert np.abs(np.median(inside, axis=0) - garment.color).max() < 40
        checked += 1
    assert checked >= 5


def test_keypoints_lie_on_the_parts_that_they_name(people: dict) -> None:
    for person in people.values():
        labels, points = np.asarray(person.label_map), person.keypoints
        assert points.shape == (18, 2) and points.dtype == np.float32
        seen = points[~np.isnan(points).any(1)]
        assert len(seen) >= 8 and (seen >= 0).all() and (seen < (192, 256)).all()
        x, y = points[0]
        if not np.isnan(x):
            assert labels[int(y), int(x)] in (1, 2, 3, 11, 14, 15)  # the nose: face, or what hides it
        assert np.isnan(points[[2, 5]]).any() or points[2, 0] < points[5, 0]  # the person's right is on the left


def test_products_are_on_pure_white_and_centred(people: dict) -> None:
    for (_, category), person in people.items():
        garment = person.garments[category]
        picture, silhouette = np.asarray(garment.product), np.asarray(garment.silhouette)
        assert set(np.unique(silhouette)) == {0, 255}
        inside = silhouette > 0
        assert 0.08 < inside.mean() < 0.85
        far = np.asarray(Image.fromarray(silhouette).filter(_grow())) == 0
        assert (picture[far] == 255).all()
        assert (picture[inside].min(axis=-1) < 250).mean() > 0.99  # whites still show
        rows, columns = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
        assert abs(rows[0] + rows[-1] - 255) <= 16 and abs(columns[0] + columns[-1] - 191) <= 6  # a hood's box is roomy
        assert rows[0] >= 8 and columns[0] >= 6
        assert rows[-1] - rows[0] > 200 or columns[-1] - columns[0] > 150  # fills the frame one way


def _grow():
    from PIL import ImageFilter

    return ImageFilter.MaxFilter(3)


def test_all_patterns_and_much_plain_occur() -> None:
    rng = np.random.default_rng(0)
    found = [draw_design(rng, category, 1.0).texture.pattern for category in CATEGORIES for _ in range(150)]
    assert set(found) == set(PATTERNS)
    assert 0.3 < found.count("plain") / len(found) < 0.5


def silhouette(design: Design, **changes: float) -> np.ndarray:
    body = draw_body_parameters(np.random.default_rng(1))
    return np.asarray(draw_product(replace(design, cut=replace(design.cut, **changes)), body, 96, 128)[1]) > 0


@pytest.mark.parametrize(
    ("category", "measure", "values"),
    [
        ("upper_body", "length", (82.5, 86, 90)),
        ("upper_body", "ease", (0.02, 0.14, 0.26)),
        ("upper_body", "sleeve", (0.82, 0.9, 0.99)),
        ("lower_body", "length", (140, 146, 152)),
        ("dresses", "flare", (0.3, 0.42, 0.55)),
        ("dresses", "length", (139, 146, 154)),
    ],
)
def test_outlines_vary_within_the_same_words(category: str, measure: str, values: tuple[float, ...]) -> None:
    """The shape must follow from the photo, not from the caption alone."""
    rng = np.random.default_rng(4)
    kind = {"upper_body": "sweater", "lower_body": "trousers", "dresses": "flared dress"}[category]
    design = draw_design(rng, category, 1.0)
    while design.cut.kind != kind:
        design = draw_design(rng, category, 1.0)
    words = [replace(design.cut, **{measure: value}).attributes() for value in values]
    assert words[0] == words[1] == words[2]
    outlines = [silhouette(design, **{measure: value}) for value in values]
    near, far = overlap(outlines[0], outlines[1]), overlap(outlines[0], outlines[2])
    assert far < near < 0.995


def test_each_atr_label_has_its_lip_label() -> None:
    atr = np.arange(18, dtype=np.uint8)[None]
    lip = np.asarray(convert_labels(Image.fromarray(atr), "vitonhd"))[0]
    assert lip.tolist() == [0, 1, 2, 4, 5, 12, 9, 6, 6, 18, 19, 13, 16, 17, 14, 15, 0, 11]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "negative"),
        ({"seed": 1, "category": "hats"}, "upper_body, lower_body, dresses"),
        ({"seed": 1, "width": 192, "height": 192}, "3:4"),
        ({"seed": 1, "width": 48, "height": 64}, "at least 96x128"),
        ({"seed": 1, "plain": 1.5}, "0 to 1"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_person(**arguments)

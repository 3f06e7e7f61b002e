"""How much of a print survives: worked by hand, and on drawn shirts."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from drawn_people import DrawnPerson, draw_person
from temu_vtoff.metrics.evaluation import Evaluator
from temu_vtoff.metrics.matching import PicturePair
from temu_vtoff.metrics.prints import Print, letters_right, print_correlation, read_prints
from temu_vtoff.metrics.report import EvaluationSettings
from temu_vtoff.metrics.results import write_results

BOX = (2.0, 2.0, 6.0, 4.0)


def picture(values: list[int]) -> Image.Image:
    """RGB 8x6: two rows of four grey values in BOX, 255 elsewhere."""
    pixels = np.full((6, 8, 3), 255, np.uint8)
    pixels[2:4, 2:6] = np.array(values)[None, :, None]
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ([200, 200, 40, 40], 1.0),
        ([110, 110, 90, 90], 1.0),  # contrast doesn't matter
        ([200, 120, 120, 120], 0.5 / 0.75**0.5),  # (1, 1, -1, -1) . (3, -1, -1, -1) / (2 * 12 ** 0.5)
        ([200, 40, 200, 40], 0.0),  # another pattern
        ([90, 90, 90, 90], 0.0),  # missing
        ([40, 40, 200, 200], 0.0),  # mirrored, or inverted
    ],
)
def test_correlation_by_hand(predicted: list[int], expected: float) -> None:
    truth = picture([200, 200, 40, 40])
    assert print_correlation(picture(predicted), truth, Print(BOX), shift=0) == pytest.approx(expected, abs=1e-6)


def test_prints_of_equal_lightness_are_compared_by_colour() -> None:
    truth, grey = np.full((6, 8, 3), (120, 60, 60), np.uint8), np.full((6, 8, 3), (120, 60, 60), np.uint8)
    truth[2:4, 3:5] = (60, 90, 60)  # about as light
    truth, grey = Image.fromarray(truth), Image.fromarray(grey)
    assert print_correlation(truth, truth, Print(BOX), shift=0) == pytest.approx(1)
    assert print_correlation(grey, truth, Print(BOX), shift=0) == 0


@pytest.fixture(scope="module")
def shirts() -> list[DrawnPerson]:
    return [draw_person(seed, "upper_body", letters=True) for seed in range(6)]


def scores(shirts: list[DrawnPerson], change) -> tuple[float, float]:
    """Mean correlation and share of right letters when `change` makes predictions of the true products."""
    garments = [person.garments["upper_body"] for person in shirts]
    made = [(change(garment), garment.product, garment.print) for garment in garments]
    return (
        float(np.mean([print_correlation(*one) for one in made])),
        float(np.mean([letters_right(*one) for one in made])),
    )


def test_the_truth_and_what_is_nearly_the_truth_can_be_read(shirts: list[DrawnPerson]) -> None:
    assert scores(shirts, lambda garment: garment.product) == (pytest.approx(1), 1.0)
    moved = scores(shirts, lambda garment: garment.product.rotate(0, translate=(3, -2), fillcolor=(255,) * 3))
    assert moved[0] > 0.97 and moved[1] == 1.0
    larger = scores(shirts, lambda garment: garment.product.resize((384, 512)))
    assert larger[0] > 0.95 and larger[1] == 1.0


def test_damage_lowers_both(shirts: list[DrawnPerson]) -> None:
    blurred = [scores(shirts, lambda g, r=r: g.product.filter(ImageFilter.GaussianBlur(r))) for r in (1, 2.5, 6)]
    assert 1 > blurred[0][0] > blurred[1][0] > blurred[2][0] < 0.65
    assert blurred[0][1] > 0.9 > 0.6 > blurred[2][1]
    mirrored = scores(shirts, lambda garment: ImageOps.mirror(garment.product))
    assert mirrored[0] < 0.75 and mirrored[1] < 0.55  # A, I, O and H look the same
    missing = scores(shirts, lambda garment: Image.new("RGB", garment.product.size, garment.color))
    assert missing == (0.0, 0.0)


def test_other_letters_are_not_the_words(shirts: list[DrawnPerson]) -> None:
    """The shirts of the same people with each other's words in place of their own."""
    words = [person.garments["upper_body"] for person in shirts]
    assert len({garment.word for garment in words}) > 3
    for garment in words:
        other = next(x for x in words if not set(x.word) & set(garment.word))
        left, top, right, bottom = (round(edge) for edge in garment.print.box)
        patch = other.product.crop([round(edge) for edge in other.print.box]).resize((right - left, bottom - top))
        prediction = garment.product.copy()
        prediction.paste(patch, (left, top))
        assert letters_right(prediction, garment.product, garment.print) <= 0.25
        assert print_correlation(prediction, garment.product, garment.print) < 0.75


def test_a_logo_has_no_letters(shirts: list[DrawnPerson]) -> None:
    with pytest.raises(ValueError, match="no letters"):
        letters_right(picture([1, 2, 3, 4]), picture([1, 2, 3, 4]), Print(BOX))


def test_evaluation_compares_prints_where_they_are_known(shirts: list[DrawnPerson], tmp_path: Path) -> None:
    pairs = []
    for number, person in enumerate(shirts[:3]):
        garment, path = person.garments["upper_body"], tmp_path / f"{number}.png"
        garment.product.save(path)
        known = (garment.print, Print(garment.print.box), None)[number]  # a word, a logo, nothing
        pairs.append(PicturePair(str(number), "upper_body", prediction=path, truth=path, print=known))
    evaluate = Evaluator(["print_correlation", "letters_right", "ssim"], width=96, height=128)
    found = evaluate(pairs, batch_size=2)
    np.testing.assert_allclose(found.per_item["print_correlation"], [1, 1, np.nan], atol=1e-6)
    np.testing.assert_allclose(found.per_item["letters_right"], [1, np.nan, np.nan])
    assert found.summary()["overall"]["letters_right"]["mean"] == 1 and not found.skipped
    write_results(tmp_path, found, EvaluationSettings(title="t", command="c", width=96, height=128))
    assert json.loads((tmp_path / "metrics.json").read_text())["metrics"]["overall"]["letters_right"]["mean"] == 1
    assert (tmp_path / "per_item.csv").read_text().splitlines()[3].endswith(",,")
    unknown = evaluate([PicturePair("2", "upper_body", prediction=path, truth=path)])
    assert set(unknown.per_item) == {"ssim"} and "--letters" in unknown.skipped["print_correlation"]


def test_a_damaged_truth_is_named(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "test_upper_body.jsonl").write_text('{"id": "1"}\n{"id": "2", "print": {}}\n')
    with pytest.raises(ValueError, match=r"test_upper_body.jsonl, line 2 is damaged"):
        read_prints(tmp_path, "test")
    assert read_prints(tmp_path, "train") == {}

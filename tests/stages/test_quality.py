"""Scores without the truth, and warnings about photos."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from drawn_people import draw_person
from temu_vtoff.segmentation.labels import ATR
from temu_vtoff.segmentation.masks import garment_mask, mask_picture
from temu_vtoff.stages.quality import Quality, judge, same_phrases
from temu_vtoff.stages.warnings import BLURRED, person_warnings, photo_warnings

SIZE = (192, 256)


@pytest.fixture(scope="module")
def person():
    return draw_person(10**15 + 3, "upper_body")


@pytest.fixture(scope="module")
def mask(person) -> Image.Image:
    return mask_picture(garment_mask(np.asarray(person.label_map), "upper_body").mask)


@pytest.fixture(scope="module")
def product(person) -> Image.Image:
    return person.garments["upper_body"].product


def score(image: Image.Image, person, mask, **how) -> Quality:
    return judge([image], person.photo, mask, **how)[0]


def test_the_true_product_is_above_suspicion(person, mask, product):
    quality = score(product, person, mask)
    assert quality.doubts == () and quality.score > 0.7 and quality.sentence == f"quality {quality.score:.2f}"
    assert set(quality.parts) == {"colours", "evenness", "outline", "background"}


def test_each_fault_lowers_its_own_part_and_is_named(person, mask, product):
    sound = score(product, person, mask)
    torn = product.copy()
    ImageDraw.Draw(torn).rectangle((0, 110, 192, 122), "white")
    dirty = Image.fromarray(
        np.clip(np.asarray(product, int) - np.linspace(0, 90, 192)[None, :, None] % 45, 0, 255).astype("uint8")
    )
    noise = np.random.default_rng(0).normal(0, 90, (64, 48, 1))
    blotchy = np.asarray(Image.fromarray(noise[..., 0].astype(np.float32)).resize(SIZE))[..., None]
    worn = np.asarray(product.convert("L"))[..., None] < 250
    blotched = Image.fromarray(np.clip(np.asarray(product) + blotchy * worn, 0, 255).astype(np.uint8))
    tint = np.where(worn, [1, 0.3, 0.3], 1)
    tinted = Image.fromarray((np.asarray(product) * tint).astype(np.uint8))
    faults = {
        "colours": (tinted, "colours differ"),
        "outline": (torn, "in pieces"),
        "background": (dirty, "not clean"),
        "evenness": (blotched, "blotchy"),
    }
    for part, (image, words) in faults.items():
        quality = score(image, person, mask)
        assert quality.parts[part] < sound.parts[part] and quality.score < sound.score, part
        assert any(words in doubt for doubt in quality.doubts), part


def test_pictures_of_one_garment_are_compared_with_each_other(person, mask, product):
    other = product.resize((180, 256)).resize(SIZE)
    narrow = Image.new("RGB", SIZE, "white")
    narrow.paste(product.resize((90, 256)), (51, 0))
    pictures = [product, other, narrow]
    qualities = judge(pictures, person.photo, mask)
    for part in ("agreement", "consensus"):
        values = [quality.parts[part] for quality in qualities]
        assert values[2] < 0.9 < min(values[:2]), part
    assert "its outline differs from that of the garment's other pictures" in qualities[2].sentence
    pair = judge(pictures[1:], person.photo, mask)
    for part in ("agreement", "consensus"):  # of two, none is right
        assert pair[0].parts[part] == pair[1].parts[part]
    assert pair[0].parts["agreement"] < 0.9


def test_encoders_and_captions_count_when_they_are_given(person, mask, product):
    def embed(pictures):  # (B, 3, H, W) -> (B, 3), mean colours
        return pictures.mean((2, 3)) - 0.9

    quality = score(product, person, mask, embed=embed, caption="a shirt with long sleeves", captions=["a shirt"])
    assert quality.parts["caption"] == 0.5 and 0 <= quality.parts["similarity"] <= 1
    assert same_phrases("a shirt with long sleeves, round neckline", "A shirt with round neckline") == pytest.approx(
        2 / 3
    )
    assert same_phrases("", "") == 1


def test_large_pictures_are_judged_like_small_ones(person, mask, product):
    large = judge([product.resize((768, 1024))], person.photo.resize((768, 1024)), mask.resize((768, 1024), 0))[0]
    assert large.score == pytest.approx(score(product, person, mask).score, abs=0.1)


def test_an_empty_picture_has_a_score_too(person, mask):
    quality = score(Image.new("RGB", SIZE, "white"), person, mask)
    assert quality.parts["outline"] == 0 and quality.score < 0.7 and quality.doubts


# --- warnings about photos ----------------------------------------------------------------------------------------


def test_drawn_people_raise_no_false_alarm():
    for number in range(12):
        category = ("upper_body", "lower_body", "dresses")[number % 3]
        person = draw_person(10**15 + 60 + number, category, 384, 512)
        labels = np.asarray(person.label_map)
        worn = mask_picture(garment_mask(labels, category).mask)
        assert photo_warnings(person.photo, worn, size=(384, 512), label_map=labels) == []


def test_each_doubt_about_a_photo_is_one_sentence(person, mask):
    labels = np.asarray(person.label_map)

    def warnings(photo=person.photo, worn=mask, size=SIZE, label_map=labels) -> str:
        return " ".join(photo_warnings(photo, worn, size=size, label_map=label_map))

    behind = np.where(np.isin(labels, ATR.ids("face", "glasses")), *ATR.ids("hair"), labels)
    assert "seen from behind" in warnings(label_map=behind)
    assert "seen from behind" in " ".join(person_warnings(person.photo, behind))
    assert person_warnings(person.photo, labels) == []
    assert person_warnings(person.photo.filter(ImageFilter.GaussianBlur(4))) == [BLURRED]
    cut = mask.copy()
    cut.paste(255, (60, 200, 120, 256))
    assert "cut off at the bottom of the photo" in warnings(worn=cut)
    tiny = Image.new("L", SIZE)
    tiny.paste(255, (90, 100, 105, 125))
    assert "covers only 0.8% of the photo" in warnings(worn=tiny) and "only 25 pixels large" in warnings(worn=tiny)
    assert "blurred" in warnings(photo=person.photo.filter(ImageFilter.GaussianBlur(4)))
    assert warnings(worn=Image.new("L", SIZE)) == ""


def test_a_garment_is_measured_in_the_photo_as_it_came(person, mask):
    (sentence,) = photo_warnings(person.photo, mask, size=(60, 80), label_map=np.asarray(person.label_map))
    assert "pixels large in the photo" in sentence

"""The mask rules, on label maps drawn by hand."""

import numpy as np
import pytest
from PIL import Image

from temu_vtoff.segmentation.labels import ATR
from temu_vtoff.segmentation.masks import (
    GREY,
    GarmentNotFoundError,
    choose_labels,
    clean_mask,
    garment_mask,
    garments_present,
    mask_picture,
    masked_image,
)

HAIR, TOP, SKIRT, PANTS, DRESS, FACE = (
    ATR.names.index(n) for n in ("Hair", "Upper-clothes", "Skirt", "Pants", "Dress", "Face")
)


def person(**garments: tuple[slice, slice]) -> np.ndarray:
    """A 100x80 label map: a head of 200 pixels, and the named labels on rectangles of it."""
    label_map = np.zeros((100, 80), np.uint8)
    label_map[2:7, 30:50], label_map[7:12, 30:50] = HAIR, FACE
    for name, place in garments.items():
        label_map[place] = {"top": TOP, "skirt": SKIRT, "pants": PANTS, "dress": DRESS}[name]
    return label_map


UPPER, LOWER, WHOLE = np.s_[15:45, 25:55], np.s_[45:90, 25:55], np.s_[15:90, 25:55]


def test_every_category_has_its_labels():
    label_map = person(top=UPPER, pants=LOWER)
    assert np.array_equal(garment_mask(label_map, "upper_body").mask, label_map == TOP)
    assert np.array_equal(garment_mask(label_map, "lower_body").mask, label_map == PANTS)
    dress = person(dress=WHOLE)
    assert np.array_equal(garment_mask(dress, "dresses").mask, dress == DRESS)
    assert len(ATR) == 18


def test_a_skirt_is_a_lower_body_garment():
    label_map = person(top=UPPER, skirt=LOWER)
    assert np.array_equal(garment_mask(label_map, "lower_body").mask, label_map == SKIRT)


@pytest.mark.parametrize(
    ("category", "label_map", "labels"),
    [
        ("upper_body", person(dress=WHOLE), (DRESS,)),
        ("dresses", person(top=UPPER, skirt=LOWER), (TOP, SKIRT)),
        ("dresses", person(top=UPPER, pants=LOWER), (TOP, PANTS)),
    ],
)
def test_the_neighbour_of_an_absent_garment_serves_and_the_mask_says_so(category, label_map, labels):
    garment = garment_mask(label_map, category)
    assert np.array_equal(garment.mask, np.isin(label_map, labels))
    assert garment.labels == ATR.name_all(labels)
    assert f"serves as the {category} garment" in garment.note
    assert choose_labels(label_map, category) == labels


def test_a_garment_that_is_there_has_no_neighbour():
    label_map = person(top=UPPER, dress=LOWER)
    garment = garment_mask(label_map, "upper_body")
    assert np.array_equal(garment.mask, label_map == TOP)
    assert garment.labels == ("Upper-clothes",) and garment.note is None


def test_an_absent_garment_is_an_error_that_names_what_was_found():
    with pytest.raises(GarmentNotFoundError, match="no lower_body garment") as caught:
        garment_mask(person(top=UPPER), "lower_body")
    assert caught.value.found == ["Upper-clothes", "Hair", "Face"]  # the largest first
    assert "Upper-clothes, Hair, Face" in str(caught.value)
    with pytest.raises(GarmentNotFoundError, match="no person") as caught:
        garment_mask(np.zeros((1, 1), np.uint8), "dresses")
    assert caught.value.found == []


def test_a_few_stray_pixels_are_no_garment():
    label_map = person(top=UPPER)
    label_map[60, 30:35] = PANTS
    with pytest.raises(GarmentNotFoundError):
        garment_mask(label_map, "lower_body")


def test_clothes_override_the_category():
    label_map = person(top=UPPER, pants=LOWER)
    assert np.array_equal(
        garment_mask(label_map, "dresses", clothes=["pants", "HAIR"]).mask, np.isin(label_map, [6, 2])
    )
    with pytest.raises(GarmentNotFoundError, match="There are no shoes in the picture"):
        garment_mask(label_map, "shoes")
    with pytest.raises(GarmentNotFoundError, match="There is no hat in the picture"):
        garment_mask(label_map, "hat")
    with pytest.raises(GarmentNotFoundError, match="no Dress in"):  # named labels have no neighbours
        garment_mask(label_map, "upper_body", clothes=["Dress"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("hats",), "choose one of upper_body, lower_body, dresses, outer, inner, shoes, bag, hat, scarf, belt"),
        (("dresses", ["Dres"]), "no labels Dres; the labels are Hat, "),
        (("dresses", []), "give a list of label names"),
        (("dresses", "Dress"), "give a list of label names"),
    ],
)
def test_wrong_arguments_are_refused_with_the_choices(arguments, words):
    with pytest.raises(ValueError, match=words):
        garment_mask(person(dress=WHOLE), *arguments)


def test_a_map_with_other_ids_is_refused():
    with pytest.raises(ValueError, match="holds the id 200; its ids must be 0 to 17"):
        garment_mask(np.full((4, 4), 200, np.uint8), "dresses")


def test_small_holes_are_filled_and_large_ones_stay():
    mask = np.zeros((100, 100), bool)
    mask[10:90, 10:90] = True
    pierced = mask.copy()
    pierced[20:26, 20:30] = False  # 60 of 6,276 pixels: less than a hundredth
    pierced[50:58, 50:58] = False  # 64: more
    expected = mask.copy()
    expected[50:58, 50:58] = False
    assert np.array_equal(clean_mask(pierced), expected)


def test_a_bay_that_is_open_to_the_edge_is_no_hole():
    mask = np.ones((50, 50), bool)
    mask[0:5, 20] = False
    assert np.array_equal(clean_mask(mask), mask)


def test_specks_go_and_several_parts_stay():
    legs = np.zeros((100, 100), bool)
    legs[20:90, 20:40], legs[20:90, 60:80] = True, True
    specked = legs.copy()
    specked[5:9, 5:9] = True  # 16 of 2,816
    assert np.array_equal(clean_mask(specked), legs)


def test_the_largest_part_stays_however_many_there_are():
    dust = np.zeros((100, 100), bool)
    dust[::4, ::4] = True
    dust[0, 1] = True
    assert clean_mask(dust)[0, :2].all() and clean_mask(dust).sum() == 2
    assert not clean_mask(np.zeros((5, 5), bool)).any()


def test_the_rules_do_not_depend_on_the_scale():
    rng = np.random.default_rng(0)
    label_map = person(top=UPPER, pants=LOWER)
    label_map[rng.random(label_map.shape) < 0.02] = TOP
    large = label_map.repeat(4, 0).repeat(4, 1)
    expected = garment_mask(label_map, "upper_body").mask.repeat(4, 0).repeat(4, 1)
    assert np.array_equal(garment_mask(large, "upper_body").mask, expected)


def test_what_is_large_enough_is_present():
    assert garments_present(person(top=UPPER, skirt=LOWER)) == ["upper_body", "lower_body"]
    assert garments_present(person(dress=WHOLE)) == ["dresses"]
    assert garments_present(person()) == []
    stray = person(dress=WHOLE)
    stray[60, 30:50] = PANTS
    assert garments_present(stray) == ["dresses"]


def test_masked_image_greys_the_garment_and_nothing_else():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (100, 80, 3), np.uint8)
    mask = garment_mask(person(dress=WHOLE), "dresses").mask
    for given in (mask, mask_picture(mask)):
        fine = masked_image(Image.fromarray(pixels), given)
        assert fine.mode == "RGB"
        assert (np.asarray(fine)[mask] == GREY).all()
        assert np.array_equal(np.asarray(fine)[~mask], pixels[~mask])
    with pytest.raises(ValueError, match="rows and columns"):
        masked_image(Image.fromarray(pixels), mask.T)

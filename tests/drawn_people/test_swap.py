"""The same person in another's garment: body, head and room stay, the garment is the other's."""

import numpy as np
import pytest

from drawn_people import CATEGORIES, draw_person
from drawn_people.person import stage_person
from drawn_people.swap import draw_try_on
from temu_vtoff.segmentation.labels import ATR

HEAD = (1, 2, 3)  # without the face, whose neck the garment may cover
PAIRS = [(category, person) for category in CATEGORIES for person in (10, 11, 12)]


@pytest.mark.parametrize("category", CATEGORIES)
def test_in_their_own_garment_people_are_as_drawn(category):
    person, again = draw_person(7, category), draw_try_on(7, 7, category)
    assert again.photo.tobytes() == person.photo.tobytes()
    assert again.label_map.tobytes() == person.label_map.tobytes()
    np.testing.assert_array_equal(again.keypoints, person.keypoints)


@pytest.mark.parametrize(("category", "number"), PAIRS)
def test_only_the_garment_and_what_it_shows_change(category, number):
    person, other = draw_person(number, category), draw_person(number + 20, category)
    worn = draw_try_on(number, number + 20, category)
    before, after = np.asarray(person.label_map), np.asarray(worn.label_map)
    same = (np.asarray(person.photo) == np.asarray(worn.photo)).all(axis=2)
    head = np.isin(before, HEAD) & (before == after)
    assert (head & ~same).sum() <= 0.1 * head.sum()  # locks fall on other cloth
    garments = np.isin(before, ATR.of_category(category)) | np.isin(after, ATR.of_category(category))
    assert same[(before == 0) & (after == 0)].mean() > 0.9  # but for the shadow on the ground
    assert not same[garments].all()
    flat = np.asarray(other.garments[category].product)[np.asarray(other.garments[category].silhouette) > 0]
    new = np.asarray(worn.photo)[np.isin(after, ATR.of_category(category))]
    assert np.abs(new.mean(0) - flat.mean(0)).max() < 40  # its colours, under the photo's light


def test_a_new_bottom_leaves_the_top_as_it_is():
    person, worn = draw_person(10, "lower_body"), draw_try_on(10, 30, "lower_body")
    top = (np.asarray(person.label_map) == 4) & (np.asarray(worn.label_map) == 4)
    assert (np.asarray(person.photo) == np.asarray(worn.photo))[top].mean() > 0.99


def test_a_bottom_rises_to_a_short_top():
    for number in range(10, 16):
        top = stage_person(number + 20, "upper_body", 192, 256, 0.5).designs["upper_body"]
        worn = stage_person(number, "upper_body", 192, 256, 0.5).dressed_in(top, 256).designs
        assert worn["lower_body"].cut.rise < top.cut.length - top.cut.hem_curve


def test_size_changes_only_the_resolution():
    small, large = draw_try_on(3, 5, "dresses"), draw_try_on(3, 5, "dresses", 384, 512)
    reduced = np.asarray(large.photo.reduce(2), np.int16)
    assert np.abs(reduced - np.asarray(small.photo)).mean() < 4


@pytest.mark.parametrize("arguments", [(-1, 2, "dresses"), (1, -2, "dresses"), (1, 2, "hats")])
def test_impossible_people_are_refused(arguments):
    with pytest.raises(ValueError, match="give"):
        draw_try_on(*arguments)

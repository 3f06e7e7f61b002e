"""One person of several: drawn crowds, whose people's label maps are true, and what is no person of its own."""

import numpy as np
import pytest

from drawn_people import draw_person
from drawn_people.crowd import draw_crowd
from temu_vtoff.segmentation.labels import ATR, Labels
from temu_vtoff.segmentation.people import one_person

LAYERED = Labels((*ATR.names, "Outer-clothes"))


@pytest.mark.parametrize("count", [2, 3])
def test_people_apart_are_told_exactly(count):
    for seed in range(6):
        crowd = draw_crowd(seed, count)
        whole, alone = np.asarray(crowd.label_map), [np.asarray(one) for one in crowd.label_maps]
        for number, truth in enumerate(alone, 1):
            found = one_person(whole, ATR, number)
            assert np.array_equal(found.label_map, truth) and found.note is None, (seed, number)
            assert (found.count, found.number) == (count, number)
        largest = int(np.argmax([(one > 0).sum() for one in alone])) + 1
        found = one_person(whole, ATR)
        assert found.number == largest and np.array_equal(found.label_map, alone[largest - 1])
        assert found.note == (
            f"There are {count} people in the photo: the largest is taken, number {largest} from the left."
        )


def test_people_who_touch_are_parted_between_their_heads():
    right, counted = [], 0
    for seed in range(10):
        crowd = draw_crowd(seed, 2, overlapping=True, layers=seed % 2 == 1)
        whole = np.asarray(crowd.label_map)
        found = one_person(whole, LAYERED, 1)
        counted += found.count == 2
        truth = np.asarray(crowd.label_maps[0]) > 0
        right.append(((found.label_map > 0) == truth)[whole > 0].mean())
    assert counted == 10 and min(right) > 0.8 and np.mean(right) > 0.93


def test_a_single_person_stays_as_it_is():
    for seed in range(30):
        label_map = np.asarray(draw_person(seed, layers=seed % 3 == 0).label_map)
        found = one_person(label_map, LAYERED)
        assert found.count == 1 and found.note is None and found.label_map is label_map, seed


def test_parts_of_one_person_and_passers_by_are_no_people():
    label_map = np.zeros((300, 200), np.uint8)
    label_map[10:30, 40:60], label_map[12:28, 45:55] = ATR.ids("hair"), ATR.ids("face")
    label_map[40:100, 30:70] = ATR.ids("top")  # the neck has no label
    label_map[110:250, 30:70] = ATR.ids("pants")  # nor has the waist
    assert one_person(label_map, ATR).count == 1
    label_map[100:130, 150:160] = ATR.ids("top")  # someone far away
    found = one_person(label_map, ATR)
    assert found.count == 1
    empty = one_person(np.zeros((4, 4), np.uint8), ATR)
    assert (empty.count, empty.number, empty.note) == (0, 0, None)


def test_large_photos_and_labels_without_faces():
    crowd = draw_crowd(1, 2)
    whole = np.asarray(crowd.label_map).repeat(4, 0).repeat(4, 1)
    found = one_person(whole, ATR, 2)
    truth = np.asarray(crowd.label_maps[1]).repeat(4, 0).repeat(4, 1)
    assert found.count == 2 and (found.label_map != truth).mean() < 1e-3
    clothes = Labels(("Background", *("?" if n in ("Hair", "Face") else n for n in ATR.names[1:])))
    assert one_person(whole, clothes).count == 2


@pytest.mark.parametrize(("person", "words"), [(0, "person is 0; give 1"), (3, "person is 3, and the photo shows 2")])
def test_a_person_who_is_not_there_is_refused(person, words):
    with pytest.raises(ValueError, match=words):
        one_person(np.asarray(draw_crowd(0, 2).label_map), ATR, person)

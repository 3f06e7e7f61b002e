"""Several people in one photo."""

from itertools import pairwise

import numpy as np
import pytest

from drawn_people.crowd import draw_crowd


@pytest.mark.parametrize("overlapping", [False, True])
def test_each_person_has_a_label_map(overlapping: bool) -> None:
    for seed in range(3):
        crowd = draw_crowd(seed, 3, overlapping)
        maps = [np.asarray(label_map) for label_map in crowd.label_maps]
        assert len(maps) == len(crowd.heights) == 3
        assert all(one.shape == (256, crowd.photo.width) for one in maps)
        np.testing.assert_array_equal(np.asarray(crowd.label_map), np.sum(maps, 0))
        assert (np.sum([one > 0 for one in maps], 0) <= 1).all()
        middles = [np.nonzero(one)[1].mean() for one in maps]
        assert middles == sorted(middles)
        for one in maps:
            assert {2, 11} & set(np.unique(one)) and np.isin(one, (4, 5, 6, 7)).sum() > 400
            assert not one[0].any() and not one[:, 0].any() and not one[:, -1].any()  # whole people
        gaps = [np.nonzero(right)[1].min() - np.nonzero(left)[1].max() for left, right in pairwise(maps)]
        assert min(gaps) < 12 if overlapping else min(gaps) > 0


def test_the_taller_person_covers_more_of_the_photo() -> None:
    crowd = draw_crowd(3, 2)
    rows = [np.ptp(np.nonzero(np.asarray(label_map))[0]) for label_map in crowd.label_maps]
    assert np.argmax(rows) == np.argmax(crowd.heights)


def test_crowds_wear_jackets_and_follow_from_the_seed() -> None:
    first, second = draw_crowd(1, 2, layers=True), draw_crowd(1, 2, layers=True)
    assert first.photo.tobytes() == second.photo.tobytes() != draw_crowd(2, 2, layers=True).photo.tobytes()
    assert all(18 in np.asarray(label_map) for label_map in first.label_maps)


def test_impossible_crowds_are_refused() -> None:
    with pytest.raises(ValueError, match="0 people, 256 pixels, seed 1: give at least 1, 128 and 0"):
        draw_crowd(1, 0)

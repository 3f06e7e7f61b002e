"""The region to repaint of drawn people, whose labels and joints are true: what it covers and what it spares."""

import numpy as np
import pytest

from drawn_people import draw_person
from temu_vtoff.segmentation.categories import DATASET_CATEGORIES
from temu_vtoff.segmentation.masks import GarmentNotFoundError
from temu_vtoff.tryon.joints import Joints
from temu_vtoff.tryon.region import Offsets, region_to_repaint

GARMENT = {"upper_body": (4, 7), "lower_body": (5, 6, 8), "dresses": (4, 5, 6, 7, 14, 15)}
LIMBS = {"upper_body": (14, 15), "lower_body": (12, 13), "dresses": (12, 13, 14, 15)}
SPARED = {"upper_body": (1, 3, 11), "lower_body": (1, 3, 11, 16), "dresses": (1, 3, 11, 16, 9, 10)}
ENDS = {"upper_body": (2, 3, 4, 5, 6, 7), "lower_body": (8, 9, 10, 11, 12, 13), "dresses": (2, 4, 5, 7, 8, 10, 11, 13)}
SEEDS = range(40, 52)


def drawn(seed: int, category: str) -> tuple[np.ndarray, Joints]:
    person = draw_person(seed, category)
    there = ~np.isnan(person.keypoints[:, :1])
    body = np.concatenate([np.nan_to_num(person.keypoints), there], axis=1)
    return np.asarray(person.label_map), Joints(body.astype(np.float32))


def block(*labels: tuple[int, int, int, int, int]) -> np.ndarray:
    """A label map of 768x1024 with (label, left, top, right, bottom) painted, ends left out."""
    label_map = np.zeros((1024, 768), np.uint8)
    for label, left, top, right, bottom in labels:
        label_map[top:bottom, left:right] = label
    return label_map


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())


@pytest.mark.parametrize("category", DATASET_CATEGORIES)
@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.parametrize("with_joints", [False, True])
def test_it_covers_the_garment_and_spares_head_bag_and_shoes(category, tight, with_joints):
    for seed in SEEDS:
        label_map, joints = drawn(seed, category)
        region = region_to_repaint(label_map, category, joints if with_joints else None, tight=tight)
        assert region.shape == label_map.shape and region.dtype == bool
        garment = np.isin(label_map, GARMENT[category])
        assert region[garment].mean() > 0.995, seed  # specks are left out
        assert not region[np.isin(label_map, SPARED[category])].any(), seed
        limbs = np.isin(label_map, LIMBS[category])  # none where sleeves or trousers cover them
        if tight or not with_joints:
            assert region[limbs].sum() >= 0.95 * limbs.sum(), seed
        if with_joints and not tight:
            left, top, right, bottom = box(region)
            for x, y in joints.seen("body", *ENDS[category]):
                assert left <= x <= right and top <= y <= bottom, seed


@pytest.mark.parametrize("category", DATASET_CATEGORIES)
def test_tight_keeps_more_of_the_person_and_of_the_background(category):
    for seed in SEEDS:
        label_map, joints = drawn(seed, category)
        regions = [region_to_repaint(label_map, category, joints, tight=tight) for tight in (False, True)]
        assert regions[1].sum() < regions[0].sum()
        assert regions[1][label_map == 0].mean() < regions[0][label_map == 0].mean()


@pytest.mark.parametrize(
    ("category", "label", "room"),
    [("upper_body", 4, (20, 10, 25)), ("lower_body", 6, (5, 10, 30)), ("dresses", 7, (20, 10, 50))],
)
def test_the_room_around_the_rectangle_and_its_offsets(category, label, room):
    label_map = block((label, 300, 400, 500, 700))
    above, below, aside = room
    assert box(region_to_repaint(label_map, category)) == (300 - aside, 400 - above, 499 + aside, 699 + below)
    moved = region_to_repaint(label_map, category, offsets=Offsets(top=5, bottom=-7, left=11, right=13))
    assert box(moved) == (289 - aside, 395 - above, 512 + aside, 692 + below)
    half = region_to_repaint(label_map[::2, ::2], category, offsets=Offsets(top=10))
    assert box(half)[1] == round(200 - (above + 10) / 2)  # lengths go with the photo's size


def test_joints_move_the_sides_and_the_jaw_is_the_top_of_an_upper_body_garment():
    label_map = block((4, 300, 400, 500, 700))
    body, hand, face = (np.zeros((count, 3), np.float32) for count in (18, 21, 68))
    body[4], body[10] = (200, 650, 1), (100, 1000, 1)  # right wrist and, of no concern, right ankle
    hand[9] = (180, 760, 1)
    assert box(region_to_repaint(label_map, "upper_body", Joints(body, right_hand=hand))) == (155, 380, 524, 770)
    face[8], face[30] = (400, 370, 1), (400, 320, 1)  # chin and nose
    assert box(region_to_repaint(label_map, "upper_body", Joints(body, face=face)))[1] == 370
    body[4, 2] = 0.2  # not seen
    assert box(region_to_repaint(label_map, "upper_body", Joints(body)))[0] == 275


def test_a_dress_is_lower_body_where_nothing_else_is():
    dress = block((7, 300, 300, 500, 800), (11, 380, 200, 420, 300))
    assert box(region_to_repaint(dress, "lower_body")) == (270, 295, 529, 809)
    with_pants = block((7, 300, 300, 500, 500), (6, 300, 500, 500, 800))
    assert box(region_to_repaint(with_pants, "lower_body")) == (270, 495, 529, 809)


def test_tight_grows_by_a_share_of_the_garments_longer_side():
    region = region_to_repaint(block((4, 300, 400, 500, 700)), "upper_body", tight=True)
    assert box(region) == (282, 382, 517, 717) and not region[382, 282]  # 0.06 x 300, round at the corners


def test_mistakes():
    label_map = block((4, 300, 400, 500, 700))
    with pytest.raises(GarmentNotFoundError, match=r"no Skirt or Pants in.*found instead: Upper-clothes"):
        region_to_repaint(label_map, "lower_body")
    with pytest.raises(GarmentNotFoundError, match="no person was found"):
        region_to_repaint(block(), "upper_body")
    with pytest.raises(ValueError, match="choose one of upper_body"):
        region_to_repaint(label_map, "hats")
    with pytest.raises(ValueError, match="leave nothing"):
        region_to_repaint(label_map, "upper_body", offsets=Offsets(bottom=-900))
    with pytest.raises(ValueError, match="a tight region has none"):
        region_to_repaint(label_map, "upper_body", offsets=Offsets(top=1), tight=True)

"""The pose picture against colours and places worked out by hand; red and blue are swapped."""

import numpy as np

from temu_vtoff.tryon.joints import NECK, R_SHOULDER, Joints
from temu_vtoff.tryon.pose_picture import COLOURS, LIMBS, pose_picture

BLACK = (0, 0, 0)


def unseen(count: int) -> np.ndarray:
    return np.zeros((count, 3), np.float32)


def at(picture, x: int, y: int) -> tuple[int, ...]:
    return picture.getpixel((x, y))


def test_one_limb():
    body = unseen(18)
    body[R_SHOULDER], body[NECK] = (20, 50, 1), (60, 50, 0.3)
    picture = pose_picture(Joints(body), 96, 128)
    assert picture.size == (96, 128) and picture.mode == "RGB"
    # The first limb is red, 0.6 of 255 is 153, and red is written as blue. Half of 40 long, 4 half wide, at (40, 50).
    assert [at(picture, 40, y) for y in (45, 46, 50, 54, 55)] == [BLACK, *[(0, 0, 153)] * 3, BLACK]
    # At x = 32 the ellipse is 4 sqrt(1 - (8 / 20)^2) = 3.7 half wide.
    assert at(picture, 32, 53) == (0, 0, 153) and at(picture, 32, 55) == BLACK
    # Discs of radius 4 at full brightness: the neck is (255, 85, 0), the shoulder (255, 170, 0).
    assert [at(picture, x, 50) for x in (55, 56, 60, 64, 65)] == [(0, 0, 153), *[(0, 85, 255)] * 3, BLACK]
    assert [at(picture, x, 50) for x in (15, 16, 20, 24)] == [BLACK, *[(0, 170, 255)] * 3]
    assert at(picture, 64, 54) == BLACK  # round


def test_joints_below_the_score_are_left_out_with_their_limbs():
    body = unseen(18)
    body[R_SHOULDER], body[NECK] = (20, 50, 0.29), (60, 50, 1)
    picture = np.asarray(pose_picture(Joints(body), 96, 128))
    ys, xs = np.nonzero(picture.any(-1))
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (56, 64, 46, 54)
    assert not np.asarray(pose_picture(Joints(unseen(18)), 96, 128)).any()


def test_all_joints_and_limbs_have_their_colour():
    body = unseen(18)
    for number in range(18):
        body[number] = (20 + 60 * (number % 6), 20 + 60 * (number // 6), 1)
    picture = pose_picture(Joints(body), 400, 200)
    for number, (red, green, blue) in enumerate(COLOURS):
        assert at(picture, *(int(v) for v in body[number, :2])) == (blue, green, red)
    assert len(LIMBS) == 17 and len(set(COLOURS)) == 18
    for number, (start, end) in enumerate(LIMBS):  # each alone
        alone = unseen(18)
        alone[start], alone[end] = (30, 100, 1), (90, 100, 1)
        red, green, blue = COLOURS[number]
        expected = tuple(int(0.6 * value) for value in (blue, green, red))
        assert at(pose_picture(Joints(alone), 128, 128), 60, 100) == expected


def test_hands_and_face():
    hand, face = unseen(21), unseen(68)
    hand[0], hand[1], hand[5] = (20, 20, 1), (50, 20, 1), (20, 60, 1)  # wrist, thumb's root, first finger's root
    face[0], face[1] = (70, 70, 1), (85, 70, 0.1)
    picture = pose_picture(Joints(unseen(18), left_hand=hand, face=face), 96, 96)
    assert at(picture, 35, 20) == (0, 0, 255)  # the first hue is red
    # The fifth of 20 bones: hue 0.2 is (204, 255, 0).
    assert at(picture, 20, 40) == (0, 255, 204)
    assert [at(picture, 35, y) == BLACK for y in (17, 22)] == [True, True]  # 2 wide
    assert at(picture, 20, 20) == at(picture, 54, 20) == (255, 0, 0) and at(picture, 55, 20) == BLACK  # pure blue
    assert [at(picture, x, 70) for x in (66, 67, 73, 74)] == [BLACK, (255,) * 3, (255,) * 3, BLACK]
    assert at(picture, 85, 70) == BLACK
    mirrored = pose_picture(Joints(unseen(18), right_hand=hand, face=face), 96, 96)
    assert np.array_equal(picture, mirrored)

"""Joints from the files of datasets and tools, at the photo's size, and files that hold none."""

import json

import numpy as np
import pytest

from drawn_people import draw_person
from drawn_people.layouts import People, write_dresscode
from temu_vtoff.tryon.joints import L_HIP, NECK, R_ANKLE, R_SHOULDER, Joints, read_joints


def save(path, content) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def person(count: int, start: float = 0, **parts) -> dict:
    """A person in OpenPose's form: point number i at (start + i, 2 i), with score 0.9."""
    return {"pose_keypoints_2d": [v for i in range(count) for v in (start + i, 2 * i, 0.9)], **parts}


def test_dresscode_is_of_384x512_and_a_missing_point_is_not_seen(tmp_path):
    rows = [[10.0 * i, 20.0 * i, 1.0, i] for i in range(18)]
    rows[0] = [-1.0, -1.0, 0.0, -1]
    joints = read_joints(save(tmp_path / "a_2.json", {"keypoints": rows})).at(768, 1024)
    assert joints.seen("body", NECK, R_SHOULDER).tolist() == [[20, 40], [40, 80]]
    assert len(joints.seen("body", 0)) == 0 and len(joints.seen("face", *range(68))) == 0


def test_vitonhd_has_25_points_of_the_body_and_hands(tmp_path):
    hand = [v for i in range(21) for v in (i, i, 1)]
    content = {"version": 1.3, "people": [person(25, hand_left_keypoints_2d=hand, face_keypoints_2d=[])]}
    joints = read_joints(save(tmp_path / "v.json", content)).at(200, 300)
    assert joints.seen("body", R_ANKLE, L_HIP).tolist() == [[11, 22], [12, 24]]  # the middle of the hips is left out
    assert joints.seen("left_hand", 5).tolist() == [[5, 5]] and len(joints.seen("right_hand", *range(21))) == 0


def test_any_openpose_file_the_surest_person_and_70_points_of_the_face(tmp_path):
    doubtful = {"pose_keypoints_2d": [1.0, 1.0, 0.1] * 18}
    face = [v for i in range(70) for v in (i, 1, 1)]
    content = {"people": [doubtful, person(18, 5, face_keypoints_2d=face)], "canvas_width": 50, "canvas_height": 100}
    joints = read_joints(save(tmp_path / "o.json", content))
    assert joints.size == (50, 100) and joints.face.shape == (68, 3)
    assert joints.at(100, 200).seen("body", NECK).tolist() == [[12, 4]]


def test_a_drawn_dataset_is_read_at_its_photos_size(tmp_path):
    people = People(train=0, test=1, seed=3)
    write_dresscode(tmp_path, people)
    (path,) = (tmp_path / "upper_body" / "keypoints").iterdir()
    (item,) = people.items(["upper_body"])
    truth = draw_person(item.seed, item.category, plain=item.plain).keypoints
    joints = read_joints(path).at(192, 256)
    there = ~np.isnan(truth[:, 0])
    np.testing.assert_allclose(joints.body[there, :2], truth[there], atol=0.01)
    assert (joints.body[:, 2] == there).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "can't be read as JSON"),
        ("[" * 100_000, "can't be read as JSON"),
        ([1, 2], 'neither "people"'),
        ({"instances": []}, 'neither "people"'),
        ({"people": []}, "nobody is in it"),
        ({"people": [person(17)]}, "body has 18 points"),
        ({"people": [{"pose_keypoints_2d": [1, 2]}]}, "no joints as expected"),
        ({"people": [5]}, "no joints as expected"),
        ({"people": [person(18)], "canvas_width": float("inf"), "canvas_height": 5}, "no joints as expected"),
        ({"people": [person(18, float("nan"))]}, "no finite number"),
        ({"keypoints": [[1, 2]] * 17}, "18 rows"),
        ({"keypoints": "text"}, "no joints as expected"),
    ],
)
def test_other_files_are_told_in_one_sentence(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_joints(save(tmp_path / "x.json", content))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no pose file"):
        read_joints(tmp_path / "gone.json")


def test_joints_of_another_photo():
    body = np.ones((18, 3), np.float32) * (700, 900, 1)
    with pytest.raises(ValueError, match="of another size"):
        Joints(body).at(192, 256)
    assert Joints(body).at(768, 1024).size == (768, 1024)
    with pytest.raises(ValueError, match="of 768x1024, not of 768x768"):
        Joints(body, size=(768, 1024)).at(768, 768)
    with pytest.raises(ValueError, match="no joint"):
        Joints(np.zeros((18, 3), np.float32)).at(192, 256)

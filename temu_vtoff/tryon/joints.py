"""Joints of a person: body, hands and face in OpenPose's order, from the files that datasets and tools write."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from temu_vtoff.errors import reason_of
from temu_vtoff.files import write_text
from temu_vtoff.pictures import same_shape

BODY, HAND, FACE = 18, 21, 68  # how many points each part has
PARTS = {"body": BODY, "left_hand": HAND, "right_hand": HAND, "face": FACE}
LEAST_SCORE = 0.3  # points below are not seen
OUTSIDE = 0.1  # of a side: estimated joints may lie so far outside the photo
_OPENPOSE = {  # part -> name in files of OpenPose's form
    "body": "pose_keypoints_2d",
    "left_hand": "hand_left_keypoints_2d",
    "right_hand": "hand_right_keypoints_2d",
    "face": "face_keypoints_2d",
}
# OpenPose's order of the body.
(NOSE, NECK, R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST) = range(8)
(R_HIP, R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE, R_EYE, L_EYE, R_EAR, L_EAR) = range(8, 18)
# Where OpenPose's BODY_25, which VITON-HD's files hold, has the 18: it counts the middle of the hips as number 8.
_OF_BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)


def _unseen(count: int) -> np.ndarray:
    return np.zeros((count, 3), np.float32)


@dataclass(frozen=True)
class Joints:
    """Points of one person, each x, y in pixels of the photo and a score in [0, 1].

    Attributes:
        body: (18, 3).
        left_hand: (21, 3).
        right_hand: (21, 3).
        face: (68, 3).
        size: Width and height of the photo that the pixels are of; None when the file doesn't tell.
    """

    body: np.ndarray
    left_hand: np.ndarray = field(default_factory=lambda: _unseen(HAND))
    right_hand: np.ndarray = field(default_factory=lambda: _unseen(HAND))
    face: np.ndarray = field(default_factory=lambda: _unseen(FACE))
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, count in PARTS.items():
            points = getattr(self, name)
            if np.shape(points) != (count, 3):
                raise ValueError(f"the {name} has {count} points of x, y and score, not {np.shape(points)}.")
            if not np.isfinite(points).all():
                raise ValueError(f"the {name} has a point that is no finite number.")

    def at(self, width: int, height: int) -> Joints:
        """The joints of the same photo at another size.

        Raises:
            ValueError: They are of a photo of another shape, or lie outside this one.
        """
        own = (width, height) if self.size is None else self.size
        if not same_shape(own, (width, height)):
            raise ValueError(
                f"the joints are of a photo of {own[0]}x{own[1]}, not of {width}x{height}: give joints of this photo."
            )
        factors = np.array([width / own[0], height / own[1], 1], np.float32)
        parts = {name: getattr(self, name) * factors for name in PARTS}
        seen = parts["body"][self.body[:, 2] >= LEAST_SCORE, :2]
        low, high = -OUTSIDE * np.array([width, height]), (1 + OUTSIDE) * np.array([width, height])
        if len(seen) == 0:
            raise ValueError(f"no joint of the body has a score of {LEAST_SCORE} or more.")
        if self.size is None and ((seen < low) | (seen > high)).any():
            raise ValueError(f"joints lie outside the photo of {width}x{height}: they are of a photo of another size.")
        return Joints(**parts, size=(width, height))

    def seen(self, part: str, *numbers: int) -> np.ndarray:
        """The points of a part with these numbers that are seen, (n, 2)."""
        points = getattr(self, part)[list(numbers)]
        return points[points[:, 2] >= LEAST_SCORE, :2]


def read_joints(path: str | Path) -> Joints:
    """Joints from DressCode's `keypoints/<id>_2.json`, VITON-HD's `openpose_json` or any file in OpenPose's form.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not such a file, or nobody in it.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no pose file {path}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"The pose file {path} can't be read as JSON: {reason_of(error)}.") from error
    try:
        if isinstance(content, dict) and "people" in content:
            return _from_openpose(content)
        if isinstance(content, dict) and "keypoints" in content:
            return _from_dresscode(content["keypoints"])
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise ValueError(f"The pose file {path} has no joints as expected: {error}") from error
    raise ValueError(f'The pose file {path} has neither "people" (OpenPose) nor "keypoints" (DressCode).')


def write_joints(joints: Joints, path: str | Path) -> None:
    """Writes joints in OpenPose's form, which `read_joints` reads without loss.

    Args:
        joints: Their `size` is known.
        path: Its folder exists.
    """
    width, height = joints.size
    person = {name: np.ravel(getattr(joints, part)).tolist() for part, name in _OPENPOSE.items()}
    write_text(path, json.dumps({"canvas_width": width, "canvas_height": height, "people": [person]}) + "\n")


def _from_openpose(content: dict[str, Any]) -> Joints:
    people = content["people"]
    if not people:
        raise ValueError("nobody is in it.")
    person = max(people, key=lambda one: float(np.sum(one[_OPENPOSE["body"]][2::3])))

    def points(part: str) -> np.ndarray:
        values = np.asarray(person.get(_OPENPOSE[part]) or _unseen(PARTS[part]), np.float32).reshape(-1, 3)
        if part == "body" and len(values) == 25:
            values = values[list(_OF_BODY_25)]
        return values[: PARTS[part]]

    width, height = content.get("canvas_width"), content.get("canvas_height")
    size = (int(width), int(height)) if width and height else None
    return Joints(**{part: points(part) for part in PARTS}, size=size)


def _from_dresscode(rows: Any) -> Joints:
    """DressCode gives (18, 4): x and y for a picture of 384x512, score or index; a missing point is -1."""
    values = np.asarray(rows, np.float32)
    if values.ndim != 2 or values.shape[0] != BODY or values.shape[1] < 2:
        raise ValueError(f"expected {BODY} rows of x and y, got {values.shape}.")
    body = np.concatenate([values[:, :2], np.ones((BODY, 1), np.float32)], axis=1)
    body[(values[:, :2] < 0).any(axis=1) | (values[:, :2] == 0).all(axis=1), 2] = 0
    return Joints(body, size=(384, 512))

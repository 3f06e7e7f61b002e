"""Joints estimated from a photo: a YOLOX detector, then a whole-body model of 133 points in SimCC form (RTMPose, arXiv
2303.07399; DWPose, arXiv 2307.15880). rtmlib runs both.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from huggingface_hub.constants import HF_HUB_OFFLINE
from PIL import Image

from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.tryon.joints import BODY, FACE, HAND, LEAST_SCORE, Joints

if TYPE_CHECKING:
    from rtmlib import YOLOX, RTMPose

AUTO = "auto"  # the models that rtmlib names itself
MODE = "performance"  # rtmlib's name of the largest ones
POINTS = 133  # of the whole body, in the order of COCO-WholeBody
WITH_SUPPRESSION = 5  # columns of a detector that has chosen among its boxes: x, y, x, y, score
PERSON = 0  # COCO's class
# Where rtmlib's OpenPose order has the parts; between body and face lie six points of the feet.
_FACE = BODY + 6
_LEFT_HAND = _FACE + FACE
_RIGHT_HAND = _LEFT_HAND + HAND


class PoseEstimator:
    """
    Args:
        detector: Finds persons.
        pose_model: Finds the joints of one, neck included.
    """

    def __init__(self, detector: YOLOX, pose_model: RTMPose) -> None:
        self.detector, self.pose_model = detector, pose_model

    @classmethod
    def from_pretrained(cls, source: str | Path = AUTO) -> PoseEstimator:
        """
        Args:
            source: A folder with two ONNX files, the detector's named yolox*.onnx; or "auto", which downloads rtmlib's.

        Raises:
            ArgumentError: rtmlib is not installed, or OpenCV's libraries, which it needs, are not.
            CheckpointError: The models can't be downloaded, or are not such models.
        """
        try:
            from rtmlib import YOLOX, RTMPose, Wholebody
        except ImportError as error:
            reason = "which is not installed: pip install rtmlib" if error.name == "rtmlib" else f"but {error}"
            raise ArgumentError(f"Estimating joints needs the package rtmlib, {reason}.", "pose_model") from error
        if source == AUTO:
            found = Wholebody.MODE[MODE]
            files = (found["det"], found["pose"])
            if HF_HUB_OFFLINE:
                raise CheckpointError(
                    "The pose models of rtmlib are not downloaded while HF_HUB_OFFLINE is set: give {pose_model} a "
                    "folder with both ONNX files.",
                    "pose_model",
                )
        else:
            files = _files(Path(source))
        detector, pose_model = _load(YOLOX, files[0]), _load(RTMPose, files[1], to_openpose=True)
        _check(detector, pose_model, files)
        detector.model_input_size = _input_size(detector, detector.model_input_size)  # height and width
        pose_model.model_input_size = _input_size(pose_model, (384, 288))[::-1]  # width and height
        last = detector.session.get_outputs()[0].shape[-1]
        detector.det_mode = "human" if last == WITH_SUPPRESSION else "multiclass"
        return cls(detector, pose_model)

    def estimate_joints(self, photo: Image.Image) -> Joints | None:
        """The joints of the largest person, in pixels of the photo; None when none of the body's is sure enough.

        Args:
            photo: Upright. Where the detector finds nobody, the whole photo is searched.
        """
        picture = np.ascontiguousarray(np.asarray(photo.convert("RGB"))[..., ::-1])  # blue first, as OpenCV reads
        points, scores = self.pose_model(picture, bboxes=self._largest_person(picture))
        rows = np.column_stack([points[0], scores[0].clip(0, 1)]).astype(np.float32)
        joints = Joints(
            body=rows[:BODY],
            left_hand=rows[_LEFT_HAND:_RIGHT_HAND],
            right_hand=rows[_RIGHT_HAND : _RIGHT_HAND + HAND],
            face=rows[_FACE:_LEFT_HAND],
            size=photo.size,
        )
        return joints if (joints.body[:, 2] >= LEAST_SCORE).any() else None

    def _largest_person(self, picture: np.ndarray) -> list[np.ndarray]:
        """The box of the largest person, as x, y, x, y; no box when there is nobody."""
        found = self.detector(picture)
        if self.detector.det_mode == "multiclass":
            boxes, classes = found
            found = boxes[classes == PERSON]
        return sorted(found, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))[-1:]


def _files(folder: Path) -> tuple[str, str]:
    """The detector's and the pose model's file.

    Raises:
        CheckpointError: There are not these two.
    """
    found = sorted(folder.glob("*.onnx"))
    detectors = [path for path in found if "yolox" in path.name.lower()]
    others = [path for path in found if path not in detectors]
    if len(detectors) != 1 or len(others) != 1:
        names = ", ".join(path.name for path in found) or "no ONNX file"
        raise CheckpointError(
            f"The folder {folder} of {{pose_model}} holds {names}; expected two ONNX files: a detector, named "
            "yolox*.onnx, and a whole-body model, for example DWPose's dw-ll_ucoco_384.onnx.",
            "pose_model",
        )
    return str(detectors[0]), str(others[0])


def _load(kind: type, file: str, **how: Any) -> Any:
    """One of rtmlib's models; its word about the loading is kept off the screen.

    Raises:
        CheckpointError: The file can't be downloaded or loaded.
    """
    try:
        with redirect_stdout(io.StringIO()):
            return kind(file, **how)
    except Exception as error:  # onnxruntime has kinds of its own, the download others
        what = "downloaded or loaded" if "://" in file else "loaded"
        raise CheckpointError(f"{file} can't be {what} as an ONNX model: {_first_line(error)}", "pose_model") from error


def _check(detector: YOLOX, pose_model: RTMPose, files: tuple[str, str]) -> None:
    """
    Raises:
        CheckpointError: The shapes are not those of a detector and a whole-body model.
    """
    boxes, points = ([output.shape for output in model.session.get_outputs()] for model in (detector, pose_model))
    if len(boxes[0]) != 3:
        raise CheckpointError(f"{files[0]} is no YOLOX detector: its output has the shape {boxes[0]}.", "pose_model")
    if len(points) != 2 or any(len(shape) != 3 or shape[1] != POINTS for shape in points):
        raise CheckpointError(
            f"{files[1]} is no whole-body model of {POINTS} points in x and y: its outputs have the shapes {points}.",
            "pose_model",
        )


def _input_size(model: Any, usual: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a model's input; the usual ones where the file leaves them open."""
    height, width = model.session.get_inputs()[0].shape[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else usual


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

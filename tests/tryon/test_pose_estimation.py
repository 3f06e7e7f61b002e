"""Joints estimated by rtmlib, on tiny ONNX models of the shapes that it reads."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import inference_dataset
import try_on
from drawn_people import draw_person
from temu_vtoff import TryOn, TryOnOptions
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.tryon import pose_estimation
from temu_vtoff.tryon.joints import L_WRIST, NECK, NOSE, R_EAR, R_SHOULDER
from temu_vtoff.tryon.pose_estimation import PoseEstimator
from tests import script_calls
from tests.script_processes import contents
from tests.tiny_datasets import write_dresscode
from tests.tryon.test_tryon_parity import GOLDEN

pytest.importorskip("rtmlib", reason="rtmlib is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from tests.tiny_pose_models import (
    POINTS,
    save_detector,
    save_pose_model,
    save_spot_finder,
    save_suppressed_detector,
)

PERSON, BAG = 0, 26  # COCO's classes
SPOT = 3  # half of its width in pixels


def red_spot(x: int, y: int, size: tuple[int, int] = (128, 128)) -> Image.Image:
    """Blue all over, with a red spot: a model that takes red for blue finds nothing there."""
    photo = Image.new("RGB", size, (0, 0, 200))
    photo.paste((255, 0, 0), (x - SPOT, y - SPOT, x + SPOT + 1, y + SPOT + 1))
    return photo


def test_joints_are_found_in_the_box_of_the_largest_person(tmp_path):
    boxes = [(PERSON, 0.9, (2, 2, 12, 20)), (PERSON, 0.8, (20, 8, 44, 40)), (BAG, 0.95, (0, 0, 64, 64))]
    save_detector(tmp_path / "yolox.onnx", boxes)
    save_spot_finder(tmp_path / "spot.onnx")
    joints = PoseEstimator.from_pretrained(tmp_path).estimate_joints(red_spot(58, 46))
    assert joints.size == (128, 128)
    for part in (joints.body, joints.left_hand, joints.right_hand, joints.face):
        assert np.abs(part[:, :2] - (58, 46)).max() <= SPOT and (part[:, 2] == 1).all()
    outside = PoseEstimator.from_pretrained(tmp_path).estimate_joints(red_spot(6, 120))  # not in that box
    assert np.abs(outside.body[:, :2] - (6, 120)).max() > 20


def test_without_a_person_the_whole_photo_is_searched(tmp_path):
    save_suppressed_detector(tmp_path / "YOLOX_m.onnx", [])
    save_spot_finder(tmp_path / "spot.onnx")
    joints = PoseEstimator.from_pretrained(str(tmp_path)).estimate_joints(red_spot(100, 20, (160, 90)))
    assert np.abs(joints.body[:, :2] - (100, 20)).max() <= SPOT + 1 and joints.size == (160, 90)


def test_133_points_become_body_hands_and_face(tmp_path):
    places = np.stack([np.arange(POINTS) % 40 + 2, np.arange(POINTS) // 4 + 2], axis=1)
    scores = np.linspace(0.4, 1.7, POINTS)  # beyond 1, as such models score
    save_suppressed_detector(tmp_path / "yolox.onnx", [(0, 0, 48, 64)])
    save_pose_model(tmp_path / "pose.onnx", places, scores)
    joints = PoseEstimator.from_pretrained(tmp_path).estimate_joints(Image.new("RGB", (48, 64)))
    at = lambda point: 1.25 * (point - (24, 32)) + (24, 32)  # the box is taken a quarter larger
    for row, number in ((NOSE, 0), (R_SHOULDER, 6), (L_WRIST, 9), (R_EAR, 4)):
        assert np.allclose(joints.body[row, :2], at(places[number]), atol=0.01)
        assert joints.body[row, 2] == pytest.approx(min(1, scores[number]))
    assert np.allclose(joints.body[NECK], (*at((places[5] + places[6]) / 2), scores[5]), atol=0.01)
    for part, first in ((joints.face, 23), (joints.left_hand, 91), (joints.right_hand, 112)):
        assert np.allclose(part[:, :2], at(places[first : first + len(part)]), atol=0.01)
    assert joints.right_hand[:, 2].max() == 1


def test_joints_that_are_not_sure_are_none(tmp_path):
    save_suppressed_detector(tmp_path / "yolox.onnx", [(0, 0, 64, 64)])
    save_pose_model(tmp_path / "pose.onnx", np.full((POINTS, 2), 9), np.full(POINTS, 0.2))
    assert PoseEstimator.from_pretrained(tmp_path).estimate_joints(Image.new("RGB", (64, 64))) is None


def test_nothing_is_printed(tmp_path, capsys):
    save_suppressed_detector(tmp_path / "yolox.onnx", [])
    save_spot_finder(tmp_path / "spot.onnx")
    PoseEstimator.from_pretrained(tmp_path)
    assert capsys.readouterr().out == ""


def save_text(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1")


@pytest.mark.parametrize(
    "detector, pose_model, complaint",
    [
        (None, None, "holds no ONNX file; expected two ONNX files"),
        (None, save_spot_finder, "holds pose.onnx; expected two ONNX files"),
        (save_text, save_spot_finder, "yolox.onnx can't be loaded as an ONNX model"),
        (save_spot_finder, lambda path: save_detector(path, []), "pose.onnx is no whole-body model of 133 points"),
        (
            lambda path: save_detector(path, []),
            lambda path: save_pose_model(path, np.ones((17, 2)), np.ones(17)),
            r"pose.onnx is no whole-body model of 133 points.*17",
        ),
    ],
)
def test_other_files_are_one_sentence(tmp_path, detector, pose_model, complaint):
    for name, save in (("yolox.onnx", detector), ("pose.onnx", pose_model)):
        if save is not None:
            save(tmp_path / name)
    with pytest.raises(CheckpointError, match=complaint) as raised:
        PoseEstimator.from_pretrained(tmp_path)
    assert raised.value.argument == "pose_model"


def test_downloads_that_fail_and_a_package_that_is_missing_are_one_sentence(monkeypatch):
    assert pose_estimation.HF_HUB_OFFLINE  # in all tests
    with pytest.raises(CheckpointError, match="while HF_HUB_OFFLINE is set"):
        PoseEstimator.from_pretrained()
    monkeypatch.setattr(pose_estimation, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("rtmlib.tools.base.download_checkpoint", lambda url: 1 / 0)
    with pytest.raises(CheckpointError, match=r"yolox.*can't be downloaded or loaded.*division by zero"):
        PoseEstimator.from_pretrained()
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(ArgumentError, match="which is not installed: pip install rtmlib"):
        PoseEstimator.from_pretrained()


@pytest.fixture
def pose_models(tmp_path) -> Path:
    """A folder whose models find a standing person in the middle of every photo."""
    save_suppressed_detector(tmp_path / "yolox.onnx", [(0, 0, 48, 64)])
    places = np.stack([np.arange(POINTS) * 7 % 20 + 14, np.arange(POINTS) * 11 % 40 + 12], axis=1)
    save_pose_model(tmp_path / "pose.onnx", places, np.full(POINTS, 0.9))
    return tmp_path


@pytest.fixture(scope="module")
def person() -> Image.Image:
    return draw_person(901, "upper_body").photo


def options(**given: str) -> TryOnOptions:
    return TryOnOptions(tryon=str(GOLDEN), segmenter="builtin", device="cpu", num_inference_steps=1, **given)


def test_try_on_estimates_the_joints_that_are_not_given(pose_models, person):
    toolkit = TryOn(options(pose_model=str(pose_models)), keep_loaded=True)
    (posed,) = toolkit.prepare(person)
    assert posed.joints.size == person.size and (posed.joints.body[:, 2] > 0.8).all()
    region = toolkit.prepare(person, joints=posed.joints)[0].region
    assert np.array_equal(posed.region, region)
    (result,) = toolkit.generate([posed], person)
    (without,) = TryOn(options(pose_model="none")).prepare(person)
    assert without.joints is None and not np.array_equal(without.region, region)
    without.region = region
    (unposed,) = toolkit.generate([without], person)
    assert not np.array_equal(result.images[0], unposed.images[0])


def test_what_keeps_joints_from_being_estimated_is_said_with_the_pictures(person, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    toolkit = TryOn(options(), keep_loaded=True)
    list(toolkit.generate(toolkit.prepare(person), person))
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("temu_vtoff")]
    assert "the pose is left out" in line and "pip install rtmlib" in line and "keypoints/*_2.json" in line
    with pytest.raises(ArgumentError, match="pip install rtmlib"):
        TryOn(options(pose_model="folder")).prepare(person)


def test_the_flag_of_try_on(pose_models, person, tmp_path, capsys, monkeypatch):
    person.save(tmp_path / "person.png")
    Image.new("RGB", (192, 256), "white").save(tmp_path / "garment.png")
    flags = ("--person_image", tmp_path / "person.png", "--garment_image", tmp_path / "garment.png")
    flags += ("--tryon_model", GOLDEN, "--segmentation_model", "builtin", "--num_inference_steps", 1)
    flags += ("--output_dir", tmp_path / "out", "--device", "cpu")
    assert script_calls.call(try_on, *flags, "--pose_model", pose_models) == 0
    assert "the pose is left out" not in capsys.readouterr().err
    flags = (*flags, "--seed", 1)
    monkeypatch.setattr(pose_estimation, "HF_HUB_OFFLINE", True)
    assert script_calls.call(try_on, *flags) == 0
    assert "the pose is left out" in (err := capsys.readouterr().err) and "give --pose_model a folder" in err
    assert script_calls.call(try_on, *flags, "--pose_model", tmp_path / "out") == 2
    assert "The folder" in (err := capsys.readouterr().err) and "of --pose_model holds no ONNX file" in err


def test_dataset_runs_estimate_what_the_dataset_lacks(pose_models, tmp_path, capsys):
    data = write_dresscode(tmp_path / "dresscode", 3, 0, ["dresses"], size=(96, 128))
    out, again = tmp_path / "out", tmp_path / "again"
    flags = ("--task", "try_on", "--dataset_name", "dresscode", "--dataset_root", data, "--category", "dresses")
    flags += ("--order", "unpaired", "--tryon_model", GOLDEN, "--device", "cpu", "--num_inference_steps", 1)

    def run(folder: Path, source: object) -> tuple[int, str]:
        argv = (*flags, "--output_dir", folder, "--num_workers", 0, "--pose_model", source)
        return script_calls.call(inference_dataset, *argv), capsys.readouterr().err

    status, err = run(out, pose_models)
    assert status == 0 and "the pose is left out" not in err, err
    made, joints = contents(out, "*.png"), sorted((out / "keypoints" / "dresses").iterdir())
    assert [path.name for path in joints] == [f"00000{number}_0_keypoints.json" for number in range(3)]
    status, err = run(out, "none")
    assert status == 2 and f'pose_model "{pose_models}", not "none": name another folder' in err

    (data / "dresses" / "keypoints").mkdir()  # a dataset that has them
    for path in joints:
        shutil.copy(path, data / "dresses" / "keypoints" / path.name.replace("0_keypoints", "2"))
    assert run(again, "none")[0] == 0 and contents(again, "*.png") == made
    shutil.rmtree(data / "dresses" / "keypoints")

    (out / "dresses" / "000001_0_000002_1.png").unlink()
    joints[1].unlink()
    assert run(out, pose_models)[0] == 0 and contents(out, "*.png") == made
    shutil.rmtree(again)
    assert run(again, data)[0] == 2 and not again.exists(), "a folder without models"
    status, err = run(again, "auto")  # which can't be had
    assert status == 0 and "the pose is left out" in err and "give --pose_model a folder" in err
    assert contents(again, "*.png").keys() == made.keys() and contents(again, "*.png") != made

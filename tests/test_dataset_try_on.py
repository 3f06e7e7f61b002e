"""inference_dataset.py --task try_on and evaluate.py --task try_on, on a tiny model in FitDiT's layout."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
import inference_dataset
from temu_vtoff.datasets import open_dataset
from temu_vtoff.segmentation.labels import VITON_HD
from tests import script_calls
from tests.script_processes import contents, kill_when, run, start
from tests.tiny_datasets import garment_box, write_dresscode, write_vitonhd
from tests.tiny_stages import save_decided_segformer

GOLDEN = Path(__file__).parent / "golden_tryon"
COUNT = 5  # of each category
SIZE = (96, 128)


@pytest.fixture(scope="module")
def dresscode(tmp_path_factory) -> Path:
    """With joints of every person."""
    root = write_dresscode(tmp_path_factory.mktemp("data") / "dresscode", test=COUNT, train=0, size=SIZE)
    for photo in root.glob("*/images/*_0.jpg"):
        save_keypoints(photo.parents[1] / "keypoints" / f"{photo.stem.removesuffix('_0')}_2.json")
    return root


def save_keypoints(path: Path) -> None:
    """DressCode's: shoulders, elbows and wrists for a photo of 384x512."""
    rows = [[-1, -1, 0, 0]] * 18
    points = [(190, 110), (130, 120), (120, 200), (110, 270), (250, 120), (260, 200), (270, 270)]
    for number, (x, y) in enumerate(points, 1):
        rows[number] = [x, y, 1, number]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"keypoints": rows}))


@pytest.fixture(scope="module")
def flags(dresscode) -> list[object]:
    return [
        *("--task", "try_on", "--dataset_name", "dresscode", "--dataset_root", dresscode, "--tryon_model", GOLDEN),
        *("--device", "cpu", "--num_inference_steps", 2, "--batch_size", 2, "--num_workers", 0),
    ]


@pytest.fixture(scope="module")
def expected(flags, tmp_path_factory) -> dict[str, bytes]:
    """The pictures of an undisturbed run over the unpaired list."""
    folder = tmp_path_factory.mktemp("expected")
    assert run("inference_dataset", [*flags, "--order", "unpaired", "--output_dir", folder]) == 0
    return contents(folder, "*.png")


@pytest.fixture
def call(flags, tmp_path, capsys):
    """Runs the script in this process into tmp_path/out: exit status, standard error."""
    argv = [*flags, "--output_dir", tmp_path / "out"]
    return lambda *more: (script_calls.call(inference_dataset, *argv, *more), capsys.readouterr().err)


def array(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), int)


def test_everybody_gets_the_own_garment_back(call, dresscode, tmp_path):
    status, err = call()
    assert status == 0 and "pose is left out" not in err, err
    made = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").glob("*/*.png"))
    assert len(made) == 3 * COUNT and Path("dresses/200000_1.png") in made
    for path in made:
        name = path.stem.removesuffix("_1")
        photo, output = array(dresscode / path.parent / "images" / f"{name}_0.jpg"), array(tmp_path / "out" / path)
        changed = (photo != output).any(-1)
        left, top, right, bottom = (2 * side for side in garment_box(name))
        assert changed[top + 4 : bottom - 4, left + 4 : right - 4].mean() > 0.9, path
        assert not changed[:8].any() and not changed[8:top, left:right].any(), f"{path}: background or face"
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["models"] == {"tryon": str(GOLDEN), "segmenter": None} and record["taken"]["device"] == "cpu"
    assert len((tmp_path / "out" / "manifest.csv").read_text().splitlines()) == 1 + 3 * COUNT
    status, err = call("--region", "tight")
    assert status == 2 and 'region "rectangle", not "tight"' in err
    status, err = call("--order", "unpaired")
    assert status == 2 and "name another folder" in err


def test_killed_and_on_two_processes(flags, expected, tmp_path):
    assert len(expected) == 3 * COUNT and "dresses/200000_0_200001_1.png" in expected
    argv = [*flags, "--order", "unpaired", "--output_dir", tmp_path]
    process = start("inference_dataset", argv)
    assert kill_when(process, lambda: len(list(tmp_path.glob("*/*.png"))) >= 3), "it ended before it could be killed"
    assert len(list(tmp_path.glob("*/*.png"))) < 3 * COUNT
    assert run("inference_dataset", argv, processes=2) == 0
    assert contents(tmp_path, "*.png") == expected
    assert json.loads((tmp_path / "run.json").read_text())["processes"] == 2


def test_joints_of_the_dataset_count_and_those_of_others_fail_the_item(call, expected, dresscode, tmp_path):
    root = tmp_path / "dresscode"
    shutil.copytree(dresscode, root)
    keypoints = root / "dresses" / "keypoints"
    (keypoints / "200000_2.json").unlink()
    (keypoints / "200001_2.json").write_text('{"keypoints": [[1, 2]]}')
    how = ("--dataset_root", root, "--category", "dresses", "--order", "unpaired")
    status, err = call(*how)
    assert status == 1 and "200001_2.json" in err and err.count("the pose is left out") == 1
    made = contents(tmp_path / "out", "*.png")
    assert len(made) == COUNT - 1
    assert made["dresses/200000_0_200001_1.png"] != expected["dresses/200000_0_200001_1.png"]
    assert made["dresses/200002_0_200003_1.png"] == expected["dresses/200002_0_200003_1.png"]
    shutil.copy(dresscode / "dresses" / "keypoints" / "200001_2.json", keypoints)
    assert call(*how)[0] == 0
    assert len(contents(tmp_path / "out", "*.png")) == COUNT


def test_vitonhd_has_its_own_labels_and_joints_and_the_segmenter_makes_label_maps(call, tmp_path):
    root = write_vitonhd(tmp_path / "vitonhd", test=3, train=0, size=SIZE)
    dataset = open_dataset("vitonhd", root, load=())
    assert dataset.joints(dataset.items[0]) is None
    (root / "test" / "openpose_json").mkdir()
    points = [v for number in range(25) for v in (number, 2 * number, 1)]
    people = {"people": [{"pose_keypoints_2d": points}]}
    (root / "test" / "openpose_json" / "00000_00_keypoints.json").write_text(json.dumps(people))
    assert dataset.joints(dataset.items[0]).body[8].tolist() == [9, 18, 1]

    shutil.rmtree(root / "test" / "image-parse-v3")
    how = ("--dataset_name", "vitonhd", "--dataset_root", root, "--order", "unpaired")
    status, err = call(*how)
    assert status == 1 and "There is no label map" in err
    shutil.rmtree(tmp_path / "out")
    (root / "test" / "openpose_json" / "00000_00_keypoints.json").unlink()
    save_decided_segformer(tmp_path / "segformer")
    status, err = call(*how, "--segment", "--segmentation_model", tmp_path / "segformer")
    maps = sorted((tmp_path / "out" / "label_maps" / "test").glob("*.png"))
    assert [path.name for path in maps] == [f"0000{number}_00_label_map.png" for number in range(3)]
    with Image.open(maps[0]) as picture:
        assert picture.size == SIZE and set(np.unique(picture)) <= {0, *VITON_HD.ids("top", "pants")}
    assert status == 0 and len(list((tmp_path / "out" / "upper_body").glob("*.png"))) == 3, err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--caption",), "--caption is for --task try_off"),
        (("--mask_type", "mask"), "--mask_type is for --task try_off"),
        (("--resize_mode", "crop"), "--resize_mode is for --task try_off"),
        (("--task", "try_off", "--caption", "--region", "tight"), "is for --task try_on"),
        (("--region", "tight", "--offset_top", 5), "--region rectangle"),
        (("--dataset_root", "nowhere"), "There is no folder nowhere"),
        (("--tryon_model", Path(__file__).parent / "golden"), "holds a try-off model"),
        (("--width", 50), "--width 50 is not a multiple"),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_is_written(call, tmp_path, more, words):
    status, err = call(*more)
    assert status == 2 and words in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_the_scores_of_try_on(call, dresscode, expected, tmp_path, capsys):
    root, pred_dir = tmp_path / "dresscode", tmp_path / "pred"
    shutil.copytree(dresscode, root)
    for name, data in expected.items():
        (pred_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (pred_dir / name).write_bytes(data)
    args = ("--task", "try_on", "--dataset_name", "dresscode", "--dataset_root", root, "--category", "dresses")

    def score(*more: object) -> dict:
        given = (*args, "--metrics", "ssim", "--device", "cpu", "--output_dir", tmp_path / "scores", *more)
        assert script_calls.call(evaluate, *given) == 0, capsys.readouterr().err
        return json.loads((tmp_path / "scores" / "metrics.json").read_text())["metrics"]["overall"]["ssim"]["mean"]

    unpaired = ("--order", "unpaired", "--pred_dir", pred_dir)
    assert not evaluate.has_drawn_truth(evaluate.parse_args([str(word) for word in (*args, *unpaired)]))
    with_photos = score(*unpaired)
    truth = root / "truth" / "try_on" / "dresses"
    truth.mkdir(parents=True)
    for number in range(COUNT):
        other = (number + 1) % COUNT
        shutil.copy(pred_dir / f"dresses/20000{number}_0_20000{other}_1.png", truth / f"20000{number}_20000{other}.png")
    assert with_photos < 0.99 and score(*unpaired) == pytest.approx(1, abs=1e-3)
    paired = tmp_path / "paired" / "dresses"
    paired.mkdir(parents=True)
    for number in range(COUNT):
        shutil.copy(root / "dresses" / "images" / f"20000{number}_0.jpg", paired / f"20000{number}_1.jpg")
    assert score("--pred_dir", paired.parent) == pytest.approx(1, abs=1e-3)

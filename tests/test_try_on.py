"""try_on.py as its users run it, on a tiny model in FitDiT's layout and drawn people: results, flags, every mistake."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

import try_on
from drawn_people import draw_person
from temu_vtoff import ClothSegmenter
from tests.golden_checkpoint import GOLDEN as TRYOFF
from tests.script_calls import call as call_script
from tests.script_calls import error_line
from tests.script_processes import python
from tests.tiny_models import save_tiny_segformer

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden_tryon"
MODELS = ("--tryon_model", GOLDEN, "--segmentation_model", "builtin")
QUICK = (*MODELS, "--num_inference_steps", 1)
SIZE = (192, 256)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Two persons, two product pictures, the first person's joints, no person, and a segmenter that sees faces only."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "persons").mkdir()
    (folder / "garments").mkdir()
    for seed, name in ((901, "ann"), (904, "bob")):
        person = draw_person(seed, "upper_body")
        person.photo.save(folder / "persons" / f"{name}.png")
        person.garments["upper_body"].product.save(folder / "garments" / f"shirt{seed}.png")
    save_joints(folder / "ann.json", draw_person(901, "upper_body").keypoints)
    Image.new("RGB", SIZE, (120, 150, 180)).save(folder / "sky.png")
    Image.new("L", SIZE).save(folder / "black.png")
    save_tiny_segformer(folder / "faces")
    segmenter = ClothSegmenter.from_pretrained(folder / "faces")
    with torch.no_grad():
        segmenter.model.decode_head.classifier.bias[11] += 1000
    segmenter.model.save_pretrained(folder / "faces")
    return folder


def save_joints(path: Path, keypoints: np.ndarray, scale: float = 1) -> None:
    points = [v for x, y in np.nan_to_num(keypoints) for v in (float(scale * x), float(scale * y), float(x > 0))]
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": points}]}))


@pytest.fixture
def ann(pictures) -> tuple:
    """Flags of one person and one garment."""
    return (*one(pictures), "--keypoints", pictures / "ann.json")


def one(pictures: Path) -> tuple:
    return ("--person_image", pictures / "persons" / "ann.png", "--garment_image", pictures / "garments/shirt904.png")


@pytest.fixture
def call(capsys):
    """Runs try_on.py in this process: exit status, standard output, standard error."""
    return lambda *argv: (call_script(try_on, *argv), *capsys.readouterr())


def array(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_person_and_a_garment_as_a_command(pictures, ann, tmp_path):
    answer = python(
        ["try_on.py", *map(str, (*ann, *MODELS, "--num_inference_steps", 2, "--output_dir", tmp_path))], ROOT
    )
    assert answer.returncode == 0, answer.stderr
    assert "the pose is left out" not in answer.stderr
    assert answer.stdout.splitlines() == [str(tmp_path / "ann_shirt904_output.png")]
    endings = ("output.png", "region.png", "panel.png")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        "run.json",
        *(f"ann_shirt904_{e}" for e in endings),
    }
    photo, output = array(pictures / "persons" / "ann.png"), array(tmp_path / "ann_shirt904_output.png")
    region = array(tmp_path / "ann_shirt904_region.png")
    assert output.shape == photo.shape == (*region.shape, 3) and set(np.unique(region)) == {0, 255}
    assert np.array_equal(output[region == 0], photo[region == 0])
    assert np.abs(output[region == 255].astype(int) - photo[region == 255]).mean() > 10
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["models"]["tryon"] == str(GOLDEN) and record["models"]["segmenter"] == "builtin"
    assert set(record["stages"]) == {"segment", "try on"} and record["taken"]["device"] and not record["failures"]


def test_all_pairs_of_folders_and_what_fails_is_noted(call, pictures, tmp_path):
    persons, garments = tmp_path / "persons", tmp_path / "garments"
    for folder in (persons, garments):
        folder.mkdir()
        for path in (pictures / folder.name).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    (persons / "sky.png").write_bytes((pictures / "sky.png").read_bytes())
    (garments / "torn.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    flags = ("--person_image", persons, "--garment_image", garments, *QUICK, "--output_dir", out)
    status, stdout, err = call(*flags)
    assert status == 1 and "Traceback" not in err
    good = [f"{person}_{garment}" for person in ("ann", "bob") for garment in ("shirt901", "shirt904")]
    assert stdout.splitlines() == [str(out / f"{name}_output.png") for name in good]
    failures = json.loads((out / "run.json").read_text())["failures"]
    assert set(failures) == {"ann_torn", "bob_torn", "sky_shirt901", "sky_shirt904", "sky_torn"}
    assert "no person was found" in failures["sky_shirt901"] and "torn.png" in failures["bob_torn"]
    assert err.count("skipped ") == 5
    assert err.count("the pose is left out") == 1, "one warning for all pairs"
    assert "keypoints/*_2.json" in err and "OpenPose" in err


def test_a_pair_alone_gives_the_same_picture_and_seeds_count_up(call, pictures, ann, tmp_path):
    assert call(*ann, *QUICK, "--num_images", 2, "--seed", 3, "--output_dir", tmp_path / "two")[0] == 0
    assert call(*ann, *QUICK, "--seed", 4, "--output_dir", tmp_path / "four")[0] == 0
    second, alone = array(tmp_path / "two/ann_shirt904_output_2.png"), array(tmp_path / "four/ann_shirt904_output.png")
    assert np.abs(second.astype(int) - alone).max() <= 2
    assert (second != array(tmp_path / "two/ann_shirt904_output.png")).any()


def test_garment_transfer_takes_the_garment_off_first(call, pictures, tmp_path):
    flags = ("--person_image", pictures / "persons/ann.png", "--garment_from", pictures / "persons/bob.png")
    tryoff = ("--pretrained_model_name_or_path_sd3_tryoff", "builtin", "--preset", "turbo")
    status, stdout, err = call(*flags, *QUICK, *tryoff, "--output_dir", tmp_path)
    assert status == 0, err
    assert stdout.splitlines() == [str(tmp_path / "ann_bob_output.png")] and "knows drawn people only" in err
    record = json.loads((tmp_path / "run.json").read_text())
    assert set(record["stages"]) == {"segment", "caption", "try off", "try on"}
    panel = array(tmp_path / "ann_bob_panel.png")[8:-8]
    garment = panel[:, 3 * 8 + 2 * 192 :][:, :192]  # the third picture is the product picture, on white
    truth = np.asarray(draw_person(904, "upper_body").garments["upper_body"].product, int)
    assert garment[:16].mean() > 250 and np.abs(garment.astype(int) - truth).mean() < 25


def test_one_of_two_persons(call, pictures, tmp_path):
    both = Image.new("RGB", (2 * SIZE[0], SIZE[1]))
    for number, name in enumerate(("ann", "bob")):
        both.paste(Image.open(pictures / "persons" / f"{name}.png"), (number * SIZE[0], 0))
    both.save(tmp_path / "both.png")
    flags = ("--person_image", tmp_path / "both.png", "--garment_from", pictures / "persons/bob.png", *QUICK)
    tryoff = ("--pretrained_model_name_or_path_sd3_tryoff", "builtin", "--preset", "turbo")
    status, _, err = call(*flags, *tryoff, "--person", 2, "--output_dir", tmp_path / "2")
    assert status == 0, err
    left, right = np.split(array(tmp_path / "2" / "both_bob_region.png") > 0, 2, axis=1)
    assert right.mean() > 0.2 and left.sum() < 0.05 * right.sum(), "the rectangle's rim may reach over the middle"
    status, _, err = call(*flags, *tryoff, "--person", 3, "--output_dir", tmp_path / "3")
    assert status == 2 and "--person" in error_line(err)


def test_the_photo_without_the_garment_is_named(call, pictures, tmp_path):
    flags = ("--person_image", pictures / "persons/ann.png", "--garment_from", pictures / "sky.png", *QUICK)
    tryoff = ("--pretrained_model_name_or_path_sd3_tryoff", "builtin", "--preset", "turbo")
    status, _, err = call(*flags, *tryoff, "--output_dir", tmp_path)
    assert status == 2 and error_line(err).startswith(f"error: {pictures / 'sky.png'}: There is no upper_body garment")


def test_mask_pose_image_region_and_no_paste(call, pictures, ann, tmp_path):
    mask = Image.new("L", SIZE)
    mask.paste(255, (60, 80, 130, 170))
    mask.save(tmp_path / "mask.png")
    with Image.open(pictures / "persons/ann.png") as photo:
        photo.filter(ImageFilter.GaussianBlur(4)).save(tmp_path / "ann.png")
    garment = ("--garment_image", pictures / "garments/shirt904.png", "--mask", tmp_path / "mask.png")
    status, _, err = call("--person_image", tmp_path / "ann.png", *garment, *QUICK, "--output_dir", tmp_path / "masked")
    assert status == 0 and "warning: ann_shirt904: the photo is blurred." in err
    assert json.loads((tmp_path / "masked/run.json").read_text())["warnings"] == {
        "ann_shirt904": ["the photo is blurred."]
    }
    assert np.array_equal(array(tmp_path / "masked/ann_shirt904_region.png"), np.asarray(mask))
    regions = {}
    for name, flags in (("plain", ()), ("tight", ("--region", "tight")), ("low", ("--offset_bottom", 90))):
        assert call(*ann, *QUICK, *flags, "--output_dir", tmp_path / name)[0] == 0
        regions[name] = array(tmp_path / name / "ann_shirt904_region.png") == 255
    assert regions["tight"].sum() < regions["plain"].sum() < regions["low"].sum()
    assert (regions["low"] & regions["plain"]).sum() == regions["plain"].sum()
    Image.new("RGB", (384, 512), "blue").save(tmp_path / "pose.png")
    how = ("--pose_image", tmp_path / "pose.png", "--no_paste", "--output_dir", tmp_path / "posed")
    assert call(*ann, *QUICK, *how)[0] == 0
    assert call(*ann, *QUICK, "--no_paste", "--output_dir", tmp_path / "own")[0] == 0
    posed, own = (array(tmp_path / name / "ann_shirt904_output.png") for name in ("posed", "own"))
    assert posed.shape == (96, 64, 3) and (posed != own).any(), "the frame of the model, and another pose"


def cloth_colour(path: Path) -> np.ndarray:
    pixels = array(path)[..., :3].reshape(-1, 3)
    return pixels[pixels.min(1) < 245].mean(0)


def test_the_built_in_models_transfer_a_garment(call, pictures, tmp_path):
    persons = [pictures / "persons" / f"{name}.png" for name in ("ann", "bob")]
    how = ("--preset", "turbo", "--output_dir", tmp_path)
    status, out, err = call("--person_image", persons[0], "--garment_from", persons[1], *how)
    assert status == 0 and out == f"{tmp_path / 'ann_bob_output.png'}\n" and err.count("drawn people only") == 1
    assert "pose" not in err, "its pose guider reads the label map"
    output, region = (array(tmp_path / f"ann_bob_{name}.png") for name in ("output", "region"))
    photo = array(persons[0])
    assert np.array_equal(output[region == 0], photo[region == 0])
    before, after = (cloth_colour(pictures / "garments" / f"shirt{seed}.png") for seed in (901, 904))
    changed = output[region > 0].mean(0) - photo[region > 0].mean(0)
    assert changed @ (after - before) > 0.3 * np.square(after - before).sum(), "the other garment's colours"
    record = json.loads((tmp_path / "run.json").read_text())
    assert set(record["models"].values()) == {"builtin"}
    status, _, err = call("--person_image", persons[0], "--garment_image", persons[1], *how, "--offset_top", 5)
    assert status == 2 and "--region rectangle" in error_line(err), "its region is tight"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--person_image", "sky.png"), ["no person was found"]),
        (("--segmentation_model", "faces"), ["no Upper-clothes or Dress", "found instead: Face"]),
        (("--mask", "black.png"), ["black all over"]),
        (("--mask", "persons/bob.png"), ["is a photo"]),
        (("--keypoints", "text.json"), ["text.json", "can't be read as JSON"]),
        (("--keypoints", "other.json"), ["other.json", "neither"]),
        (("--keypoints", "large.json"), ["another size", "192x256"]),
        (("--keypoints", "gone.json"), ["no pose file", "gone.json"]),
        (("--pose_image", "square.png"), ["64x64", "192x256"]),
        (("--pose_image", "gone.png"), ["gone.png"]),
        (("--width", "50"), ["--width", "50", "nearest is 48"]),
        (("--height", "4096"), ["--height", "too large"]),
        (("--region", "tight", "--offset_top", "5"), ["--offset_top", "--region rectangle"]),
        (("--offset_top", "nan"), ["--offset_top", "finite"]),
        (("--offset_bottom", "-2000"), ["leave nothing"]),
        (("--garment_image", "ann.json"), ["ann.json"]),
        (("--garment_image", "gone.png"), ["gone.png"]),
        (("--tryon_model", TRYOFF), ["holds a try-off model", "BoyuanJiang/FitDiT"]),
        (("--tryon_model", "persons"), ["Not a complete checkpoint"]),
        (("--lora", "owner/name"), ["--lora", "give --garment_from, or another --backend"]),
        (("--seed", 2**70), ["--seed", "64 bits"]),
        (("--person_image", "persons"), ["--keypoints", "single --person_image"]),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_is_written(call, pictures, ann, tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(pictures)
    (pictures / "text.json").write_text("no json")
    (pictures / "other.json").write_text('{"instances": []}')
    save_joints(pictures / "large.json", draw_person(901, "upper_body").keypoints, scale=4)
    Image.new("RGB", (64, 64)).save(pictures / "square.png")
    person = ann if flags[0] != "--person_image" or flags[1] == "persons" else one(pictures)
    status, stdout, err = call(*person, *QUICK, *flags, "--output_dir", tmp_path / "out")
    sentence = error_line(err)
    assert status == 2 and not stdout
    assert all(word in sentence for word in words), sentence
    assert not list(tmp_path.rglob("*.*")), "nothing is written"


def test_a_garment_is_of_one_kind(capsys):
    with pytest.raises(SystemExit) as ended:
        try_on.parse_args(["--person_image", "p.png", "--garment_image", "a.png", "--garment_from", "b.png"])
    assert ended.value.code == 2 and "--garment_from" in capsys.readouterr().err

"""SegCloth.py, imported and as a command: photos of every kind, folders that were left half done, every mistake."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from transformers import SegformerForSemanticSegmentation

import SegCloth
from drawn_people.crowd import draw_crowd
from SegCloth import GarmentNotFoundError, batch_segment_clothing, segment_clothing
from temu_vtoff import builtin
from temu_vtoff.hub.errors import CheckpointError, HubUnreachableError
from temu_vtoff.segmentation import clothing
from temu_vtoff.segmentation.labels import ATR, Labels
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from tests import script_calls
from tests.script_calls import ROOT, heavy_imports
from tests.script_processes import kill_when, python, start
from tests.tiny_models import save_tiny_segformer


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(save_tiny_segformer(tmp_path_factory.mktemp("segformer")))


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.fromarray(skimage.data.astronaut()).resize((90, 120))


@pytest.fixture(scope="module")
def shares(model, photo) -> dict[str, float]:
    """The share of the photo that the random model gives each label but the background, the largest first."""
    (label_map,) = ClothSegmenter.from_pretrained(model).label_maps([photo])
    counts = np.bincount(label_map.ravel(), minlength=len(ATR))
    return {ATR.names[i]: counts[i] / counts.sum() for i in np.argsort(-counts) if i > 0}


@pytest.fixture(scope="module")
def clothes(shares) -> list[str]:
    """What plays the garment: the label that the random model likes best."""
    return [next(iter(shares))]


@pytest.fixture(scope="module")
def dress_model(tmp_path_factory) -> str:
    """A segmenter that sees a dress everywhere."""
    folder = save_tiny_segformer(tmp_path_factory.mktemp("dress"))
    model = SegformerForSemanticSegmentation.from_pretrained(folder)
    model.decode_head.classifier.weight.data.zero_()
    model.decode_head.classifier.bias.data.zero_()[ATR.names.index("Dress")] = 1
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def folder(tmp_path, photo) -> Path:
    """Photos whose names collide, a subfolder, two files that are no pictures, and one that a Mac left."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "a.jpg", "b.png", "sub/a.png", "sub/c.webp"):
        photo.save(folder / name)
    (folder / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:900])
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("no picture")
    (folder / "._a.jpg").write_bytes(b"\0" * 10)
    return folder


@pytest.fixture
def call(capsys):
    """Runs SegCloth.py in this process: exit status, standard output, standard error."""
    return lambda *argv: (script_calls.call(SegCloth, *argv), *capsys.readouterr())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


# One photo


def test_importing_is_light():
    assert heavy_imports("import SegCloth") == set()


def test_masks_of_a_photo(model, photo, clothes, tmp_path):
    binary, fine = segment_clothing(photo, clothes=clothes, model=model)
    assert (binary.mode, binary.size, fine.mode, fine.size) == ("L", photo.size, "RGB", photo.size)
    inside = np.asarray(binary) == 255
    assert inside.any() and (np.asarray(binary)[~inside] == 0).all() and not inside.all()
    assert (np.asarray(fine)[inside] == 128).all()
    assert np.array_equal(np.asarray(fine)[~inside], np.asarray(photo)[~inside])
    photo.save(tmp_path / "photo.png")
    for path in (tmp_path / "photo.png", str(tmp_path / "photo.png")):
        assert segment_clothing(path, clothes=clothes, model=model)[0] == binary


def to_16_bit(photo: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)


@pytest.mark.parametrize(
    "convert", [*(lambda p, m=m: p.convert(m) for m in ("RGBA", "P", "L", "CMYK", "1")), to_16_bit]
)
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_photos_of_every_mode(model, photo, tmp_path, convert, ending):
    other = convert(photo)
    everything = [name for name in ATR.names if name != "Background"]
    binary, fine = segment_clothing(other, clothes=everything, model=model)
    assert (binary.mode, binary.size, fine.mode, fine.size) == ("L", photo.size, "RGB", photo.size)
    if ending == "tif" or other.mode != "CMYK":
        other.save(tmp_path / f"photo.{ending}")
        assert segment_clothing(tmp_path / f"photo.{ending}", clothes=everything, model=model)[0] == binary


def test_exif_rotation_comes_first(model, photo, clothes, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me a quarter to the right"
    photo.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    expected, _ = segment_clothing(photo, clothes=clothes, model=model)
    for turned in (tmp_path / "turned.png", Image.open(tmp_path / "turned.png")):
        binary, fine = segment_clothing(turned, clothes=clothes, model=model)
        assert binary == expected and fine.size == photo.size


def test_categories(dress_model, photo, recwarn):
    dress, _ = segment_clothing(photo, category="dresses", model=dress_model)
    assert dress.getextrema() == (255, 255) and not recwarn
    with pytest.warns(UserWarning, match="No Upper-clothes in the picture: Dress serves as the upper_body garment"):
        assert segment_clothing(photo, model=dress_model)[0] == dress
    with pytest.raises(GarmentNotFoundError, match=r"no lower_body garment .* found instead: Dress") as caught:
        segment_clothing(photo, category="lower_body", model=dress_model)
    assert isinstance(caught.value, ValueError) and caught.value.found == ["Dress"]


def test_wrong_arguments_show_before_the_model_is_loaded(photo, tmp_path):
    with pytest.raises(ValueError, match="choose one of upper_body"):
        segment_clothing(photo, category="hats", model=tmp_path)
    with pytest.raises(FileNotFoundError, match="no picture at"):
        segment_clothing(tmp_path / "photo.png", model=tmp_path)
    with pytest.raises(ValueError, match="device is 'abacus'"):
        segment_clothing(photo, model=tmp_path, device="abacus")
    with pytest.raises(CheckpointError, match="segmenter"):
        segment_clothing(photo, model=tmp_path)


def test_the_model_is_loaded_once_and_kept(model, photo, clothes, monkeypatch):
    loaded, load = [], ClothSegmenter.from_pretrained
    monkeypatch.setattr(ClothSegmenter, "from_pretrained", lambda *args: loaded.append(args) or load(*args))
    clothing._load.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        masks = list(pool.map(lambda _: segment_clothing(photo, clothes=clothes, model=model)[0], range(8)))
    assert len(loaded) == 1
    assert all(mask == masks[0] for mask in masks)


def test_without_the_hub_the_built_in_model_serves_with_a_warning(model, photo, clothes, monkeypatch):
    monkeypatch.setattr(builtin, "resolve", lambda name, part: model if name == builtin.BUILTIN else name)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"the hub can't be reached.*drawn people only"):
            binary, _ = segment_clothing(photo, clothes=clothes, model="nobody/nothing")
    assert binary == segment_clothing(photo, clothes=clothes, model=model)[0]


# Folders


def test_a_folder(model, folder, clothes, tmp_path):
    report = batch_segment_clothing(
        folder, tmp_path / "out", clothes=clothes, model=model, batch_size=2, progress=False
    )
    stems = ("a_jpg", "a_png", "b", "sub/a", "sub/c")
    assert set(contents(tmp_path / "out")) == {
        f"{stem}_{kind}.png" for stem in stems for kind in ("binary_mask", "fine_mask")
    }
    assert sorted(report.failed) == [folder / "broken.jpg", folder / "empty.png"]
    assert all("can't be read as a picture" in reason for reason in report.failed.values())
    assert len(report.written) == 5 and not report.skipped and not report.substituted
    binary, fine = segment_clothing(folder / "b.png", clothes=clothes, model=model)
    assert np.mean(np.asarray(Image.open(tmp_path / "out/b_binary_mask.png")) != np.asarray(binary)) < 1e-3
    assert Image.open(tmp_path / "out/b_fine_mask.png").size == fine.size


def test_absent_garments_and_substitutes_are_reported(dress_model, folder, tmp_path):
    report = batch_segment_clothing(folder, tmp_path / "lower", "lower_body", model=dress_model, progress=False)
    assert (
        "no lower_body garment (Skirt or Pants) in the picture; found instead: Dress" in report.failed[folder / "b.png"]
    )
    assert not report.written and not contents(tmp_path / "lower")
    report = batch_segment_clothing(folder, tmp_path / "upper", "upper_body", model=dress_model, progress=False)
    assert len(report.written) == 5
    assert report.substituted == dict.fromkeys(report.written, "Dress")


def test_whatever_goes_wrong_with_one_photo_fails_it_alone(model, folder, clothes, tmp_path, monkeypatch):
    sound = ClothSegmenter.label_maps

    def fail_on_a_pair(self, images):
        if len(images) > 1 or images[0].size == odd:
            raise RuntimeError("shapes differ")
        return sound(self, images)

    photos = sorted(folder.rglob("*.png"))
    photos[0].write_bytes(b"")
    odd = (50, 70)
    Image.new("RGB", odd).save(folder / "odd.png")
    monkeypatch.setattr(ClothSegmenter, "label_maps", fail_on_a_pair)
    report = batch_segment_clothing(folder, tmp_path / "out", clothes=clothes, model=model, progress=False)
    assert set(report.failed) >= {photos[0], folder / "odd.png"} and report.written
    assert report.failed[folder / "odd.png"] == "RuntimeError: shapes differ"


def test_finished_files_are_skipped_and_missing_ones_made_alike(model, folder, clothes, tmp_path):
    def run():
        return batch_segment_clothing(
            folder, tmp_path / "out", clothes=clothes, model=model, batch_size=3, progress=False
        )

    run()
    made = contents(tmp_path / "out")
    (tmp_path / "out/a_png_binary_mask.png").unlink()
    (tmp_path / "out/sub/c_fine_mask.png").unlink()
    for name in ("a_jpg_binary_mask.png", "sub/a_fine_mask.png"):  # as a power failure leaves them
        cut = tmp_path / "out" / name
        cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    kept = (tmp_path / "out/b_fine_mask.png").stat().st_mtime_ns
    report = run()
    assert sorted(report.written) == [folder / name for name in ("a.jpg", "a.png", "sub/a.png", "sub/c.webp")]
    assert report.skipped == [folder / "b.png"]
    assert (tmp_path / "out/b_fine_mask.png").stat().st_mtime_ns == kept
    assert contents(tmp_path / "out") == made


def test_masks_beside_the_photos_are_not_taken_for_photos(model, folder, clothes):
    first = batch_segment_clothing(folder, folder, clothes=clothes, model=model, progress=False)
    second = batch_segment_clothing(folder, folder, clothes=clothes, model=model, progress=False)
    assert sorted(second.skipped) == sorted(first.written)
    assert not second.written


def test_masks_made_otherwise_are_not_taken_for_finished(model, folder, clothes, shares, tmp_path):
    other = [list(shares)[1]]
    batch_segment_clothing(folder, tmp_path / "out", clothes=clothes, model=model, progress=False)
    made = contents(tmp_path / "out")
    with pytest.raises(ValueError, match=f"made with {model} for {clothes[0]}, not {model} for {other[0]}"):
        batch_segment_clothing(folder, tmp_path / "out", clothes=other, model=model, progress=False)
    assert contents(tmp_path / "out") == made
    report = batch_segment_clothing(
        folder, tmp_path / "out", clothes=other, model=model, overwrite=True, progress=False
    )
    assert len(report.written) == 5
    assert all(old != new for old, new in zip(made.values(), contents(tmp_path / "out").values(), strict=True))


def test_folders_that_do_not_serve(model, folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        batch_segment_clothing(tmp_path / "nowhere", tmp_path / "out", model=model)
    (tmp_path / "void").mkdir()
    with pytest.raises(ValueError, match="no pictures in the folder"):
        batch_segment_clothing(tmp_path / "void", tmp_path / "out", model=model)
    with pytest.raises(ValueError, match="output folder"):
        batch_segment_clothing(folder, folder / "a.png", model=model)
    with pytest.raises(ValueError, match="batch_size is 0"):
        batch_segment_clothing(folder, tmp_path / "out", model=model, batch_size=0)


def test_a_folder_is_refused_without_the_hub(folder, tmp_path):
    with pytest.raises(HubUnreachableError, match=r"check the network.*drawn people the model builtin"):
        batch_segment_clothing(folder, tmp_path / "out", model="nobody/nothing")


def test_killed_half_way_and_finished(model, photo, clothes, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(40):
        photo.resize((300 + i, 400)).save(photos / f"{i:02}.jpg")
    arguments = {"clothes": clothes, "model": model, "batch_size": 4, "progress": False}
    batch_segment_clothing(photos, tmp_path / "whole", **arguments)

    flags = ["--img_dir", photos, "--out_dir", tmp_path / "out", "--batch_size", 4, "--model", model]
    process = start("SegCloth", [*flags, "--clothes", *clothes])
    kill_when(process, lambda: len(list(tmp_path.glob("out/*_binary_mask.png"))) >= 8)
    done = [path for path in tmp_path.glob("out/*.png") if not path.name.startswith(".")]
    assert process.exitcode == -signal.SIGKILL and 16 <= len(done) < 80
    for path in done:
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()

    report = batch_segment_clothing(photos, tmp_path / "out", **arguments)
    assert len(report.skipped) >= 8 and len(report.skipped) + len(report.written) == 40
    finished = {name: data for name, data in contents(tmp_path / "out").items() if not name.startswith(".")}
    assert finished == contents(tmp_path / "whole")


# The command


def test_command_on_a_photo_as_a_subprocess(model, photo, clothes, tmp_path):
    photo.save(tmp_path / "photo.jpg")
    words = [ROOT / "SegCloth.py", "--image_path", "photo.jpg", "--out_dir", "outputs/masks"]
    answer = python([*words, "--model", model, "--clothes", *clothes], tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["outputs/masks/photo_binary_mask.png", "outputs/masks/photo_fine_mask.png"]
    assert "warning" not in answer.stderr
    with Image.open(tmp_path / "outputs/masks/photo_binary_mask.png") as mask:
        assert mask.mode == "L" and mask.size == photo.size


def test_command_on_a_folder(model, folder, clothes, tmp_path, call):
    arguments = ("--img_dir", folder, "--out_dir", tmp_path / "out", "--model", model, "--clothes", *clothes)
    status, out, err = call(*arguments, "--batch_size", 2, "--num_workers", 1)
    assert status == 1
    assert out == f"{tmp_path / 'out'}: 5 made, 0 made earlier, 2 failed\n"
    assert f"{folder / 'broken.jpg'}: can't be read as a picture" in err
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["arguments"]["clothes"] == clothes and str(folder / "empty.png") in record["failures"]
    (folder / "broken.jpg").unlink()
    (folder / "empty.png").unlink()
    assert call(*arguments)[:2] == (0, f"{tmp_path / 'out'}: 0 made, 5 made earlier, 0 failed\n")


def test_command_says_what_the_built_in_model_knows(model, photo, clothes, tmp_path, call, monkeypatch):
    monkeypatch.setattr(builtin, "resolve", lambda name, part: model if name == builtin.BUILTIN else name)
    photo.save(tmp_path / "photo.jpg")
    arguments = ("--image_path", tmp_path / "photo.jpg", "--out_dir", tmp_path, "--clothes", *clothes, "--model")
    clothing._load.cache_clear()
    assert "drawn people only" in call(*arguments, "builtin")[2]
    status, _, err = call(*arguments, "nobody/nothing")
    assert status == 0 and "BUILT-IN SEGMENTER IS USED INSTEAD" in err
    clothing._load.cache_clear()


def test_command_tells_of_substitutes_and_absent_garments(dress_model, folder, tmp_path, call):
    arguments = ("--out_dir", tmp_path / "out", "--model", dress_model)
    status, out, err = call("--image_path", folder / "b.png", *arguments)
    assert status == 0 and len(out.split()) == 2
    assert err == "warning: No Upper-clothes in the picture: Dress serves as the upper_body garment.\n"
    status, out, err = call("--image_path", folder / "b.png", "--category", "lower_body", *arguments)
    assert status == 2 and out == "" and "found instead: Dress" in err
    status, out, err = call("--img_dir", folder / "sub", "--overwrite", *arguments)
    assert status == 0 and f"{folder / 'sub/c.webp'}: the garment is absent, Dress taken instead" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--image_path", "none.png"), "no picture at none.png"),
        (("--image_path", "broken.jpg"), "broken.jpg can't be read as a picture"),
        (("--image_path", "b.png", "--clothes", "Dres"), "no labels Dres"),
        (("--image_path", "b.png", "--device", "abacus"), "--device is 'abacus'; give cpu"),
        (("--image_path", "b.png", "--model", "/no/where"), "no folder /no/where"),
        (("--image_path", "b.png", "--out_dir", "b.png"), "output folder b.png"),
        (("--img_dir", "nowhere"), "no folder nowhere"),
        (("--img_dir", ".", "--model", "nobody/nothing"), "hub can't be reached"),
    ],
)
def test_mistakes_get_one_sentence_and_status_2(model, folder, call, monkeypatch, arguments, words):
    monkeypatch.chdir(folder)
    status, out, err = call("--model", model, *arguments)
    assert status == 2 and out == "" and "Traceback" not in err
    (line,) = err.strip().splitlines()
    assert line.startswith("error: ") and words in line


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--image_path", "a", "--img_dir", "b"),
        ("--img_dir", "b", "--category", "hats"),
        ("--img_dir", "b", "--batch_size", "0"),
    ],
)
def test_wrong_flags(arguments, call):
    status, _, err = call(*arguments)
    assert status == 2 and "usage:" in err


# Several people, layers and label maps


@pytest.fixture(scope="module")
def crowd(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("crowd")
    draw_crowd(7, 2, height=512).photo.save(folder / "crowd_0.png")
    return folder / "crowd_0.png"


def test_one_person_of_several(crowd, tmp_path, call):
    arguments = ("--image_path", crowd, "--model", "builtin", "--out_dir")
    masks = []
    for number in (1, 2):
        status, _, err = call(*arguments, tmp_path, "--person", number, "--category", "lower_body")
        assert status == 0 and "warning" not in err
        masks.append(np.asarray(Image.open(tmp_path / "crowd_0_binary_mask.png")) > 0)
        again, _ = segment_clothing(crowd, "lower_body", model="builtin", person=number)
        assert np.array_equal(np.asarray(again) > 0, masks[-1])
    left_to_right = [np.nonzero(mask)[1].mean() for mask in masks]
    assert left_to_right == sorted(left_to_right) and np.sum(masks, axis=0).max() == 1
    status, _, err = call(*arguments, tmp_path / "largest", "--category", "lower_body")
    assert status == 0 and "warning: There are 2 people in the photo: the largest is taken, number " in err
    status, out, err = call(*arguments, tmp_path / "none", "--person", 3)
    assert status == 2 and out == "" and "--person is 3, and the photo shows 2 people." in err
    status, _, err = call("--img_dir", crowd.parent, "--model", "builtin", "--out_dir", tmp_path / "folder")
    assert status == 0 and f"{crowd}: There are 2 people in the photo" in err
    arguments = ("--img_dir", crowd.parent, "--model", "builtin", "--out_dir", tmp_path / "third", "--person", 3)
    status, _, err = call(*arguments)
    assert status == 1 and f"{crowd}: --person is 3, and the photo shows 2 people." in err


def test_label_maps_instead_of_masks(crowd, tmp_path, call):
    arguments = ("--model", "builtin", "--label_maps", "dresscode", "--out_dir", tmp_path)
    status, out, _ = call("--image_path", crowd, *arguments)
    assert status == 0 and out == f"{tmp_path / 'crowd_4.png'}\n"
    alone = (tmp_path / "crowd_4.png").read_bytes()
    with Image.open(tmp_path / "crowd_4.png") as label_map:
        assert label_map.mode == "P" and label_map.size == Image.open(crowd).size
        assert {0, 2, 4, 11} <= set(np.unique(label_map)) <= set(range(18))
        whole = np.asarray(label_map)
    (tmp_path / "crowd_4.png").unlink()
    assert call("--img_dir", crowd.parent, *arguments)[:2] == (0, f"{tmp_path}: 1 made, 0 made earlier, 0 failed\n")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "crowd_4.png")), whole)
    assert (tmp_path / "crowd_4.png").read_bytes() != alone  # it says what it was made with
    assert "1 made earlier" in call("--img_dir", crowd.parent, *arguments)[1]
    status, _, err = call("--img_dir", crowd.parent, *arguments, "--person", 1)
    assert status == 2 and "made with builtin for label maps of dresscode, not builtin for label maps of" in err


def test_layers_of_a_segmenter_that_tells_them(photo, tmp_path, call, model):
    photo.save(tmp_path / "photo.png")
    arguments = ("--image_path", tmp_path / "photo.png", "--out_dir", tmp_path / "out", "--category", "outer")
    status, _, err = call(*arguments, "--model", model)
    assert (
        status == 2
        and "--category is 'outer', which" in err
        and "the segmenter sayeed99/segformer-b3-fashion can" in err
    )
    other = ("--img_dir", tmp_path, "--out_dir", tmp_path / "out", "--category", "outer", "--model", model)
    assert call(*other)[0] == 2 and not list(tmp_path.glob("out/*"))
    twin = save_tiny_segformer(tmp_path / "twin", labels=Labels(("background", "Coats", "T-shirts")))
    for category in ("outer", "inner", "upper_body"):
        status, out, err = call(*arguments[:-1], category, "--model", twin)
        assert (status == 0 and len(out.split()) == 2) or "found instead" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--img_dir", ".", "--label_maps", "vitonhd", "--category", "dresses"), "--label_maps writes all labels"),
        (("--dataset_name", "vitonhd", "--dataset_root", ".", "--person", "1"), "--person is for --image_path"),
        (("--dataset_name", "vitonhd", "--dataset_root", ".", "--category", "bag"), "'bag'; the datasets have upper"),
    ],
)
def test_flags_that_contradict(arguments, words, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(*arguments)
    assert status == 2 and out == "" and words in err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("photos", [("--image_path", "a.png"), ("--img_dir", ".")])
@pytest.mark.parametrize("folder", [".", "maps"])
def test_label_maps_never_come_among_the_photos(photo, photos, folder, call, tmp_path, monkeypatch):
    photo.save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    status, _, err = call(*photos, "--label_maps", "vitonhd", "--model", "builtin", "--output_dir", folder)
    allowed = photos[0] == "--image_path" and folder == "maps"
    assert status == (0 if allowed else 2) and (allowed or "give another --output_dir" in err)
    assert (tmp_path / "a.png").read_bytes() == before and (tmp_path / "maps/a.png").exists() == allowed


def test_names_that_become_one(photo, tmp_path, model):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "a_0.png"):
        photo.save(tmp_path / "photos" / name)
    with pytest.raises(ValueError, match=r"would both become .*a_4\.png: rename one"):
        batch_segment_clothing(tmp_path / "photos", tmp_path / "out", model=model, label_maps="dresscode")

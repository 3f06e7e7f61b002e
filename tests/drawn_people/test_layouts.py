import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_people import CATEGORIES
from drawn_people.attributes import caption_from_attributes
from drawn_people.layouts import People, write_dresscode, write_vitonhd

SIZE = (96, 128)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def pairs(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def test_dresscode_layout_is_complete_and_reproducible(tmp_path: Path) -> None:
    write_dresscode(tmp_path / "a", People(3, 4, seed=2, width=96, height=128))
    write_dresscode(tmp_path / "b", People(3, 4, seed=2, width=96, height=128), workers=2)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    for category in CATEGORIES:
        folder = tmp_path / "a" / category
        train, paired = pairs(folder / "train_pairs.txt"), pairs(folder / "test_pairs_paired.txt")
        unpaired = pairs(folder / "test_pairs_unpaired.txt")
        assert (len(train), len(paired), len(unpaired)) == (3, 4, 4)
        truth = {path.name for path in (tmp_path / "a" / "truth" / "try_on" / category).iterdir()}
        assert truth == {f"{person[:6]}_{garment[:6]}.png" for person, garment in unpaired}
        assert all(person[:6] == garment[:6] for person, garment in train + paired)
        assert all(person[:6] != garment[:6] for person, garment in unpaired)
        assert sorted(garment for _, garment in unpaired) == sorted(garment for _, garment in paired)
        for person, garment in train + paired:
            item = person.split("_")[0]
            with Image.open(folder / "images" / person) as photo, Image.open(folder / "images" / garment) as product:
                assert photo.size == product.size == SIZE
                assert photo.format == "JPEG" and photo.layer == [(1, 1, 1, 0), (2, 1, 1, 1), (3, 1, 1, 1)]  # 4:4:4
            with Image.open(folder / "label_maps" / f"{item}_4.png") as labels:
                assert labels.mode == "L" and labels.size == SIZE and np.asarray(labels).max() <= 17
            keypoints = json.loads((folder / "keypoints" / f"{item}_2.json").read_text())["keypoints"]
            assert len(keypoints) == 18 and all(len(point) == 4 for point in keypoints)
            assert all(point[3] in (-1, number) for number, point in enumerate(keypoints))


def test_truth_agrees_with_the_captions(tmp_path: Path) -> None:
    write_dresscode(tmp_path, People(2, 2, width=96, height=128))
    for phase, numbers in (("train", (0, 1)), ("test", (2, 3))):
        captions = json.loads((tmp_path / "truth" / f"{phase}.json").read_text())
        assert len(captions) == 2 * len(CATEGORIES)  # an id is one garment's, whatever its category
        for index, category in enumerate(CATEGORIES):
            lines = (tmp_path / "truth" / f"{phase}_{category}.jsonl").read_text().splitlines()
            rows = [json.loads(line) for line in lines]
            assert [row["id"] for row in rows] == [f"{index * 300_000 + number:06d}" for number in numbers]
            for row in rows:
                assert captions[row["id"]] == [row["caption"]] == [caption_from_attributes(row["attributes"])]
                assert len(row["color"]) == 3 and row["pattern"]


def test_correspondences_are_written_where_asked_for_and_added_to_finished_people(tmp_path: Path) -> None:
    write_dresscode(tmp_path / "a", People(2, 1, width=96, height=128))
    before = files(tmp_path / "a")
    assert not (tmp_path / "a" / "truth" / "correspondences").exists()
    write_dresscode(tmp_path / "a", People(2, 1, width=96, height=128, correspondences=True))
    after = files(tmp_path / "a")
    assert after | before == after  # everything else is as it was
    added = sorted(set(after) - set(before))
    assert added == [
        f"truth/correspondences/{c}/{i * 300_000 + n:06d}.npy"
        for i, c in sorted(enumerate(CATEGORIES), key=lambda x: x[1])
        for n in range(3)
    ]
    write_vitonhd(tmp_path / "b", People(1, 1, width=96, height=128, correspondences=True))
    for path in [*(tmp_path / "a").rglob("*.npy"), *(tmp_path / "b").rglob("*.npy")]:
        coords = np.load(path)
        assert coords.shape == (16, 12, 2) and np.nanmin(coords) >= 0 and np.nanmax(coords) <= 1
        assert np.isfinite(coords).all(-1).sum() > 10
    assert len(list((tmp_path / "b" / "truth" / "correspondences" / "upper_body").iterdir())) == 2


def test_share_of_plain_garments_is_the_training_peoples_alone(tmp_path: Path) -> None:
    def patterns(phase: str) -> list[str]:
        texts = [(tmp_path / "truth" / f"{phase}_{category}.jsonl").read_text() for category in CATEGORIES]
        return [json.loads(line)["pattern"] for text in texts for line in text.splitlines()]

    write_dresscode(tmp_path, People(4, 4, width=96, height=128))
    usual, tested = patterns("train"), patterns("test")
    assert "plain" in usual and "plain" in tested
    write_dresscode(tmp_path, People(4, 4, width=96, height=128, plain=0))  # the finished ones differ: drawn again
    assert "plain" not in patterns("train") and patterns("test") == tested
    write_dresscode(tmp_path, People(4, 4, width=96, height=128))
    assert patterns("train") == usual


def test_train_and_test_people_differ(tmp_path: Path) -> None:
    write_dresscode(tmp_path, People(3, 3, width=96, height=128))
    pictures = [path.read_bytes() for path in (tmp_path / "dresses" / "images").glob("*_0.jpg")]
    assert len(pictures) == len(set(pictures)) == 6


def test_vitonhd_layout_is_complete(tmp_path: Path) -> None:
    write_vitonhd(tmp_path, People(2, 3, width=96, height=128))
    assert [person == garment for person, garment in pairs(tmp_path / "train_pairs.txt")] == [True, True]
    test = pairs(tmp_path / "test_pairs.txt")
    assert len(test) == 3 and all(person != garment for person, garment in test)
    for phase, names in (("train", pairs(tmp_path / "train_pairs.txt")), ("test", test)):
        for person, garment in names:
            for folder, name in (("image", person), ("cloth", garment), ("cloth-mask", garment)):
                with Image.open(tmp_path / phase / folder / name) as picture:
                    assert picture.size == SIZE
            with Image.open(tmp_path / phase / "image-parse-v3" / f"{Path(person).stem}.png") as labels:
                assert 5 in np.asarray(labels) and np.asarray(labels).max() <= 19


def test_a_rerun_draws_only_what_is_missing(tmp_path: Path) -> None:
    write_dresscode(tmp_path, People(2, 1, width=96, height=128))
    before = files(tmp_path)
    kept, lost = (tmp_path / "dresses" / "images" / name for name in ("600000_0.jpg", "600001_1.jpg"))
    time = kept.stat().st_mtime_ns
    lost.unlink()
    write_dresscode(tmp_path, People(2, 1, width=96, height=128))
    assert files(tmp_path) == before
    assert kept.stat().st_mtime_ns == time


def test_growing_a_folder_leaves_no_stale_people(tmp_path: Path) -> None:
    write_dresscode(tmp_path / "grown", People(1, 1, width=96, height=128))
    write_dresscode(tmp_path / "grown", People(2, 1, width=96, height=128))
    write_dresscode(tmp_path / "fresh", People(2, 1, width=96, height=128))
    assert files(tmp_path / "grown") == files(tmp_path / "fresh")


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "drawn_people", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(("layout", "there"), [("dresscode", "dresses/train_pairs.txt"), ("vitonhd", "test_pairs.txt")])
def test_the_command_writes_either_layout(tmp_path: Path, layout: str, there: str) -> None:
    size = ("--width", "96", "--height", "128")
    done = command("--layout", layout, "--train", "1", "--test", "1", *size, "--output", str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / there).exists()
    assert "data" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--width", "100"), "3:4"),
        (("--train", "-1"), "--train is -1"),
        (("--train", "0", "--test", "0"), "at least one"),
        (("--seed", "-3"), "--seed is -3"),
        (("--workers", "0"), "--workers: invalid positive"),
        (("--layout", "coco"), "invalid choice"),
    ],
)
def test_bad_arguments_end_in_one_sentence(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = command("--output", str(tmp_path / "data"), "--train", "1", "--test", "0", *arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = command("--output", str(tmp_path / "taken"), "--train", "1", "--test", "0")
    assert done.returncode == 2 and "can't be made" in done.stderr


@pytest.mark.parametrize("content", [b"", b'{"id": ', b"[" * 100_000])
def test_an_item_with_a_damaged_record_is_drawn_again(tmp_path: Path, content: bytes) -> None:
    write_dresscode(tmp_path, People(1, 0, width=96, height=128))
    before = files(tmp_path)
    next((tmp_path / "truth" / "items").iterdir()).write_bytes(content)
    write_dresscode(tmp_path, People(1, 0, width=96, height=128))
    assert files(tmp_path) == before

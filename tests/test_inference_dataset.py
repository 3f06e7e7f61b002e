"""inference_dataset.py: the same pictures whatever happens on the way, and no trouble of an item left untold."""

import csv
import errno
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import inference_dataset
from temu_vtoff import Options
from temu_vtoff.hardware import ATTENTION_BACKENDS
from temu_vtoff.runs.generation import picture_path
from temu_vtoff.runs.task import TryOffTask
from temu_vtoff.runs.tryoff import DatasetTryOff
from tests import script_calls
from tests.script_processes import ROOT, contents, kill_after, run, start
from tests.tiny_datasets import SIZE, write_dresscode, write_vitonhd


@pytest.fixture(scope="module")
def dresscode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_dresscode(tmp_path_factory.mktemp("data") / "dresscode", test=9, train=0)
    captions = {f"{n}{i:05d}": [f"a garment with {i} pockets"] for n in range(3) for i in range(9)}
    (root.parent / "captions_0_2.json").write_text(json.dumps(captions))
    return root


@pytest.fixture(scope="module")
def flags(models: Path, dresscode: Path) -> list[object]:
    """A run over DressCode with captions given and masks from label maps."""
    return [
        *("--dataset_name", "dresscode", "--dataset_root", dresscode),
        *("--coarse_caption_file", dresscode.parent / "captions_0_2.json"),
        *("--pretrained_model_name_or_path", models / "pipe", "--device", "cpu"),
        *("--num_inference_steps", 2, "--batch_size", 4, "--num_workers", 0),
    ]


@pytest.fixture(scope="module")
def expected(flags: list[object], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The pictures of an undisturbed run."""
    folder = tmp_path_factory.mktemp("expected")
    assert run("inference_dataset", [*flags, "--output_dir", folder]) == 0
    return contents(folder, "*.png")


@pytest.fixture
def call(flags: list[object], tmp_path: Path, capsys: pytest.CaptureFixture):
    """Runs the script in this process into tmp_path/out: exit status, standard error."""
    argv = [*flags, "--output_dir", tmp_path / "out"]
    return lambda *more: (script_calls.call(inference_dataset, *argv, *more), capsys.readouterr().err)


def manifest(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "manifest.csv").open() as file:
        return {row["key"]: row for row in csv.DictReader(file)}


def test_a_whole_split(call, expected: dict[str, bytes], tmp_path: Path) -> None:
    status, errors = call()
    out = tmp_path / "out"
    assert status == 0, errors
    assert contents(out, "*.png") == expected
    assert sorted(expected) == sorted(f"{c}/{n}{i:05d}_1.png" for n, c in enumerate(CATEGORIES) for i in range(9))
    assert all(Image.open(out / name).size == SIZE for name in expected)
    assert len(set(expected.values())) == 27
    rows = manifest(out)
    assert list(rows) == [name.removesuffix(".png") for name in expected_order()]
    assert {row["status"] for row in rows.values()} == {"done"}
    assert len({row["seed"] for row in rows.values()}) == 27 and float(rows["dresses/200000_1"]["seconds"]) > 0
    assert json.loads((out / "run.json").read_text())["failed"] == 0


CATEGORIES = ("upper_body", "lower_body", "dresses")


def expected_order() -> list[str]:
    return [f"{c}/{n}{i:05d}_1.png" for n, c in enumerate(CATEGORIES) for i in range(9)]


def test_a_second_run_makes_nothing(call, tmp_path: Path) -> None:
    call("--category", "dresses")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*_1.png")}
    assert len(before) == 9
    assert call("--category", "dresses")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*_1.png")} == before
    call("--category", "upper_body")
    assert len(manifest(tmp_path / "out")) == 18  # the dresses are still told of


def test_killed_at_random_moments(flags: list[object], expected, models: Path, tmp_path: Path) -> None:
    """Eight kills while masks, captions and pictures are made; whatever is begun by then must come out the same."""
    flags = [*flags, "--segment", "all", "--segmentation_model", models / "segformer"]
    flags += ["--caption", "all", "--caption_model", models / "qwen", "--num_inference_steps", 8, "--limit", 4]
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    started = time.monotonic()
    assert run("inference_dataset", [*flags, "--output_dir", undisturbed]) == 0
    duration = time.monotonic() - started
    goal = contents(undisturbed, "*.png", "captions.json")
    assert len(goal) == 12 + 12 + 1  # masks, pictures and captions

    chance, kills, stages = random.Random(0), 0, set()
    while kills < 8:
        process = start("inference_dataset", [*flags, "--output_dir", killed])
        kills += kill_after(process, chance.uniform(0.2, 0.9) * duration)
        made = (killed / "masks").is_dir(), any(killed.glob("journal/captions*")), any(killed.glob("*/*_1.png"))
        stages.add(sum(made))
        if (killed / "manifest.csv").exists():  # this one was too quick to be killed: start again
            assert contents(killed, "*.png", "captions.json") == goal
            shutil.rmtree(killed)
    assert run("inference_dataset", [*flags, "--output_dir", killed]) == 0
    assert contents(killed, "*.png", "captions.json") == goal
    assert not list(killed.rglob(".*"))
    assert len(stages) > 1, "all kills came at the same stage"


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes(flags: list[object], expected: dict[str, bytes], processes: int, tmp_path: Path) -> None:
    begun = start("inference_dataset", [*flags, "--output_dir", tmp_path, "--limit", 4])  # by one alone
    begun.join()
    assert run("inference_dataset", [*flags, "--output_dir", tmp_path], processes) == 0
    assert contents(tmp_path, "*.png") == expected
    assert len(manifest(tmp_path)) == 27
    assert json.loads((tmp_path / "run.json").read_text())["processes"] == processes


def test_accelerate_launch(flags: list[object], expected: dict[str, bytes], dresscode: Path, tmp_path: Path) -> None:
    """Two processes, of which one has a failed item: the other still finishes, and both tell of it."""
    root = tmp_path / "dresscode"
    shutil.copytree(dresscode, root)
    (root / "upper_body" / "images" / "000000_0.jpg").unlink()
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    argv = [*flags, "--output_dir", tmp_path / "out", "--dataset_root", root]
    answer = subprocess.run(
        [*launch, *map(str, [ROOT / "inference_dataset.py", *argv])], capture_output=True, text=True, timeout=240
    )
    assert answer.returncode == 1, answer.stderr
    assert "26 of 27 pictures" in answer.stdout and "000000_0.jpg" in answer.stderr
    made = contents(tmp_path / "out", "*.png")
    assert len(made) == 26
    alone = {name for name in made if made[name] != expected[name]}
    assert alone <= {f"upper_body/00000{i}_1.png" for i in (1, 2, 3)}  # its batch had three members


def test_batch_sizes_hardly_matter(flags: list[object], expected: dict[str, bytes], tmp_path: Path) -> None:
    folders = {}
    for size in (1, 7):
        folders[size] = tmp_path / str(size)
        assert run("inference_dataset", [*flags, "--batch_size", size, "--output_dir", folders[size]]) == 0
    reference = {name: np.asarray(Image.open(io.BytesIO(data))).astype(int) for name, data in expected.items()}
    pictures = np.stack(list(reference.values()))
    assert pictures.std() > 5  # there is something to differ in
    for folder in folders.values():
        difference = abs(np.stack([np.asarray(Image.open(folder / name)) for name in reference]) - pictures)
        assert difference.max() <= 1
        assert (difference.max(axis=-1) > 0).mean() <= 0.001


def test_with_nothing_left_no_model_is_loaded(call, dresscode: Path, models: Path, tmp_path: Path) -> None:
    own = tmp_path / "models"
    shutil.copytree(models, own)
    flags = ["--category", "dresses", "--segment", "all", "--segmentation_model", own / "segformer", "--caption", "all"]
    flags += ["--caption_model", own / "qwen", "--pretrained_model_name_or_path", own / "pipe"]
    assert call(*flags)[0] == 0
    for weights in own.rglob("*.safetensors"):
        weights.unlink()
    status, errors = call(*flags)
    assert status == 0, errors
    (tmp_path / "out/dresses/200003_1.png").unlink()
    status, errors = call(*flags)
    assert status == 2 and "pipe" in errors and "Traceback" not in errors  # now the pipeline is wanted, and that alone


def test_files_that_were_cut_are_made_again(call, expected: dict[str, bytes], tmp_path: Path) -> None:
    out, cut = tmp_path / "out", ("dresses/200000_1.png", "dresses/200003_1.png", "dresses/200008_1.png")
    assert call("--category", "dresses")[0] == 0
    for name, length in zip(cut, (0, 100, -1), strict=True):
        (out / name).write_bytes((out / name).read_bytes()[:length])
    journal = out / "journal" / "manifest.0.jsonl"
    lines = journal.read_bytes().splitlines()
    journal.write_bytes(b"\n".join([*lines[:3], b"\0" * 40, b"}{}", *lines[4:]]))
    status, errors = call("--category", "dresses")
    assert status == 0 and "2 damaged lines are passed over" in errors
    assert contents(out, "*.png") == {name: data for name, data in expected.items() if name.startswith("dresses")}
    assert {row["status"] for row in manifest(out).values()} == {"done"}
    (out / "settings.json").write_bytes(b"")
    status, errors = call("--category", "dresses")
    assert status == 2 and "settings.json is damaged" in errors and "Traceback" not in errors


def test_a_full_disk_is_told_in_one_sentence(call, expected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, synced, sync = tmp_path / "out", [], os.fsync

    def fsync(file: int) -> None:
        synced.append(file)
        if len(synced) > 5:  # settings and some pictures
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    monkeypatch.setattr("temu_vtoff.files.os.fsync", fsync)
    status, errors = call("--category", "dresses")
    assert status == 2 and "disk" in errors and "full" in errors and str(out / "dresses") in errors
    assert len([line for line in errors.splitlines() if line.strip()]) == 1, errors
    assert len(list(out.rglob("*_1.png"))) == 4 and not list(out.rglob(".*"))
    monkeypatch.undo()
    assert call("--category", "dresses")[0] == 0
    assert contents(out, "*.png") == {name: data for name, data in expected.items() if name.startswith("dresses")}


def test_compiling_depends_on_the_pictures_left(
    models: Path, dresscode: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is compiled here: the question is what would be. 27 pictures make a long run."""
    monkeypatch.setattr("temu_vtoff.hardware.acceleration.COMPILE_FROM", 10)

    def compiled(chosen: bool | None = None, **changes: object) -> bool:
        task = TryOffTask("dresscode", dresscode, tmp_path, caption="missing", **changes)
        options = Options(base=str(models / "pipe"), device="cpu", batch_size=4, compile=chosen)
        return DatasetTryOff(task, options).options.compile

    assert not compiled(limit=1)
    assert compiled()  # the settings of the trial don't hold it back
    assert compiled(limit=1)  # begun so: a resumed run rounds as the first one did, however few are left
    assert json.loads((tmp_path / "settings.json").read_text())["compile"] is True
    with pytest.raises(ValueError, match="compile true, not false"):
        compiled(False)
    (tmp_path / "settings.json").unlink()
    for item in DatasetTryOff(
        TryOffTask("dresscode", dresscode, tmp_path, caption="missing"), Options(base=str(models / "pipe"))
    ).items[:20]:
        path = picture_path(tmp_path, item)
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", SIZE).save(path)
    (tmp_path / "settings.json").unlink()
    assert not compiled()


def test_a_resumed_run_keeps_its_precision(
    models: Path, dresscode: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a probe of this moment decides, it might decide otherwise the next time."""
    task = TryOffTask("dresscode", dresscode, tmp_path, caption="missing")
    options = Options(base=str(models / "pipe"), device="cpu")
    for answer in (torch.float32, torch.bfloat16):
        monkeypatch.setattr("temu_vtoff.runs.dataset_run.pipeline_dtype", lambda options, answer=answer: answer)
        assert DatasetTryOff(task, options).options.precision == "no"
    with pytest.raises(ValueError, match=r"dtype \"torch.float32\", not \"torch.bfloat16\""):
        DatasetTryOff(task, replace(options, precision="bf16"))


def test_run_json_says_what_was_taken(call, tmp_path: Path) -> None:
    assert call("--category", "dresses", "--limit", 2)[0] == 0
    taken = json.loads((tmp_path / "out" / "run.json").read_text())["taken"]
    assert taken["dtype"] in ("float32", "bfloat16") and taken["offload"] == "none" and taken["compiled"] is False
    assert taken["attention_backend"] in ATTENTION_BACKENDS


def test_failed_items_are_told_and_tried_again(call, dresscode: Path, tmp_path: Path) -> None:
    root = tmp_path / "dresscode"
    shutil.copytree(dresscode, root)
    photo, labels = root / "dresses/images/200000_0.jpg", root / "upper_body/label_maps/000003_4.png"
    captions = json.loads((dresscode.parent / "captions_0_2.json").read_text())
    del captions["100004"]
    (tmp_path / "captions_0_2.json").write_text(json.dumps(captions))
    kept = photo.read_bytes(), labels.read_bytes()
    photo.write_bytes(b"damaged")
    labels.unlink()
    with Image.open(root / "lower_body/label_maps/100000_4.png") as label_map:
        label_map.point([2 if label == 11 else label for label in range(256)]).save(label_map.filename)  # hair, no face

    flags = ("--dataset_root", root, "--coarse_caption_file", tmp_path / "captions_0_2.json")
    status, errors = call(*flags)
    assert status == 1
    rows = manifest(tmp_path / "out")
    failed = {key: row["reason"] for key, row in rows.items() if row["status"] == "failed"}
    assert set(failed) == {"dresses/200000_1", "upper_body/000003_1", "lower_body/100004_1"}
    assert "200000_0.jpg" in failed["dresses/200000_1"] and "000003_4.png" in failed["upper_body/000003_1"]
    assert "no caption" in failed["lower_body/100004_1"] and "3 items failed" in errors
    assert [key for key, row in rows.items() if "seen from behind" in row["warnings"]] == ["lower_body/100000_1"]
    assert all(reason in errors for reason in failed.values())

    photo.write_bytes(kept[0])
    labels.write_bytes(kept[1])
    captions["100004"] = ["a garment with 4 pockets"]
    (tmp_path / "captions_0_2.json").write_text(json.dumps(captions))
    status, errors = call(*flags)
    assert status == 0, errors
    assert {row["status"] for row in manifest(tmp_path / "out").values()} == {"done"}
    assert not any(row["reason"] for row in manifest(tmp_path / "out").values())


def test_other_settings_are_not_mixed_in(call) -> None:
    assert call("--category", "dresses")[0] == 0
    status, errors = call("--category", "dresses", "--seed", 1, "--guidance_scale", 3)
    assert status == 2
    assert "seed 0, not 1; guidance_scale 2.0, not 3.0: name another folder" in errors


def test_masks_on_the_fly(call, models: Path, dresscode: Path, tmp_path: Path) -> None:
    """VITON-HD without label maps: masks are made beside the pictures, and used."""
    root = write_vitonhd(tmp_path / "vitonhd", test=5)
    (tmp_path / "captions_0_2.json").write_text(json.dumps({f"0000{n}": ["a top"] for n in range(5)}))
    flags = [
        "--dataset_name",
        "vitonhd",
        "--dataset_root",
        root,
        "--coarse_caption_file",
        tmp_path / "captions_0_2.json",
    ]
    shutil.rmtree(root / "test" / "image-parse-v3")
    status, errors = call(*flags)
    assert status == 1 and "no label map" in errors and "SegCloth.py" in errors
    mask_dir = tmp_path / "masks"
    status, errors = call(*flags, "--segment", "--segmentation_model", models / "segformer", "--mask_dir", mask_dir)
    assert status == 2 and "segment null" in errors  # not into the same folder
    shutil.rmtree(tmp_path / "out")
    status, errors = call(*flags, "--segment", "--segmentation_model", models / "segformer", "--mask_dir", mask_dir)
    assert status == 0, errors
    assert len(list(mask_dir.glob("test/*_binary_mask.png"))) == 5
    assert len(list((tmp_path / "out").glob("upper_body/*.png"))) == 5
    assert not list(root.rglob("*mask*"))


def test_unpaired_limit_and_mask_types(call, expected: dict[str, bytes], tmp_path: Path) -> None:
    assert call("--order", "unpaired", "--limit", 2)[0] == 0
    assert sorted(contents(tmp_path / "out", "*.png"))[:2] == [
        "dresses/200000_0_200001_1.png",
        "dresses/200001_0_200002_1.png",
    ]
    made = {}
    for kind in ("fine", "bounding_box", "mask"):
        shutil.rmtree(tmp_path / "out")
        assert call("--category", "dresses", "--mask_type", kind)[0] == 0
        made[kind] = contents(tmp_path / "out", "*.png")
    assert made["fine"] == {name: data for name, data in expected.items() if name.startswith("dresses")}
    assert made["fine"] != made["mask"] != made["bounding_box"]
    assert inference_dataset.parse_args(required("--mask_type", "mask", "--fine_mask")).mask_type == "fine"


def required(*more: str) -> list[str]:
    return ["--dataset_name", "dresscode", "--dataset_root", ".", "--output_dir", ".", *more]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--dataset_root", "nowhere"], "There is no folder nowhere; expected DressCode's layout"),
        (["--coarse_caption_file", "nowhere.json"], "There is no caption file nowhere.json"),
        (["--width", "50"], "width 50 is not a multiple of 16; the nearest is 48"),
        (["--phase", "train", "--order", "unpaired"], "no unpaired list for training"),
        (["--device", "cuda:9"], "--device is 'cuda:9', but torch sees"),
        (
            ["--pretrained_model_name_or_path_sd3_tryoff", "./nowhere"],
            "there is no folder ./nowhere, and it is no hub id",
        ),
    ],
)
def test_mistakes_end_with_one_sentence(call, more: list[str], words: str) -> None:
    status, errors = call(*more)
    assert status == 2
    assert words in errors and "Traceback" not in errors


def test_captions_must_come_from_somewhere(models: Path, dresscode: Path, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "inference_dataset.py", "--dataset_name", "dresscode"]
    command += ["--dataset_root", dresscode, "--output_dir", tmp_path / "out"]
    answer = subprocess.run(map(str, command), capture_output=True, text=True, timeout=120)
    assert answer.returncode == 2
    assert "error: Give --caption_file, or --caption" in answer.stderr and "Traceback" not in answer.stderr
    assert not (tmp_path / "out").exists()


def test_help_names_the_flags_of_old(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="0"):
        inference_dataset.parse_args(["--help"])
    assert "--coarse_caption_file" in capsys.readouterr().out

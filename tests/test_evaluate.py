"""evaluate.py on tiny datasets and folders: what it writes, what it refuses, and that nothing goes stale."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

import command_line
import evaluate
from temu_vtoff.metrics.ssim import ssim
from tests import script_calls
from tests.metrics.conftest import backbones  # noqa: F401
from tests.tiny_datasets import write_dresscode, write_vitonhd


@pytest.fixture(scope="module")
def dresscode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dresscode(tmp_path_factory.mktemp("dresscode"))


@pytest.fixture
def predictions(dresscode: Path, tmp_path: Path) -> Path:
    """Blurred true pictures, each item more than the one before it; as inference_dataset.py names them."""
    folder = tmp_path / "predictions"
    for number, truth in enumerate(sorted(dresscode.rglob("*_1.jpg"))):
        if truth.name[1:6] < "00004":  # the test items
            path = folder / truth.parent.parent.name / f"{truth.stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.open(truth).filter(ImageFilter.GaussianBlur(number / 8)).save(path)
    return folder


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)


def run(*flags: object) -> None:
    evaluate.main(evaluate.parse_args([str(flag) for flag in (*flags, "--device", "cpu")]))


def of_dresscode(root: Path, predictions: Path, *flags: object) -> Path:
    run("--dataset_name", "dresscode", "--dataset_root", root, "--pred_dir", predictions, *flags)
    return Path(f"{predictions}_evaluation")


def test_scores_by_item_category_and_overall(dresscode: Path, predictions: Path) -> None:
    output = of_dresscode(dresscode, predictions, "--metrics", "ssim", "psnr", "--batch_size", "5")
    results = json.loads((output / "metrics.json").read_text())
    with (output / "per_item.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert results["items"] == 12 and (results["width"], results["height"]) == (48, 64)
    assert [row["key"] for row in rows][:5] == [*(f"upper_body/00000{n}_1" for n in range(4)), "lower_body/100000_1"]
    by_hand = []
    for row in rows:
        pictures = [np.asarray(Image.open(row[name]).convert("RGB")) / 255 for name in ("prediction", "truth")]
        a, b = (evaluate_tensor(picture) for picture in pictures)
        by_hand.append(ssim(a, b).item())
    assert [float(row["ssim"]) for row in rows] == pytest.approx(by_hand, abs=1e-6)
    assert results["metrics"]["overall"]["ssim"]["mean"] == pytest.approx(np.mean(by_hand))
    assert results["metrics"]["lower_body"]["ssim"]["mean"] == pytest.approx(np.mean(by_hand[4:8]))
    assert set(results["metrics"]) == {"overall", "upper_body", "lower_body", "dresses"}
    assert json.loads((output / "run.json").read_text())["arguments"]["metrics"] == ["ssim", "psnr"]


def evaluate_tensor(picture: np.ndarray):
    import torch

    return torch.tensor(picture).float().permute(2, 0, 1)[None]


def test_sets_and_networks(dresscode: Path, predictions: Path, backbones: Path, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setenv("TORCH_HOME", str(backbones))
    flags = ("--metrics", "lpips", "dists", "fid", "kid")
    output = of_dresscode(dresscode, predictions, *flags)
    results = json.loads((output / "metrics.json").read_text())
    assert results["skipped"] == {}
    assert results["metrics"]["dresses"]["lpips"]["mean"] > 0
    assert {"fid", "kid", "lpips", "dists"} <= set(results["metrics"]["upper_body"])
    overall, sets = results["metrics"]["overall"], results["sets"]["fid"]
    assert sets["pooled"] == overall["fid"]["value"] and set(sets["by_category"]) == {
        "upper_body",
        "lower_body",
        "dresses",
    }
    assert re.fullmatch(r"clean-fid [\d.]+, Inception-v3, clean mode", results["implementations"]["fid"])
    assert re.match(r"torchmetrics [\d.]+, AlexNet", results["implementations"]["lpips"])
    assert "Lanczos" in results["resize"] and "clean-fid" in results["resize"]
    assert "pooled into one set" in (output / "report.html").read_text()
    of_dresscode(dresscode, predictions, *flags, "--num_workers", 2)
    assert json.loads((output / "metrics.json").read_text())["metrics"] == results["metrics"]
    of_dresscode(dresscode, predictions, "--metrics", "kid", "--order", "paired", "--seed", 1)


def test_metrics_without_their_networks_are_skipped_with_reason_and_place(
    dresscode: Path, predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = of_dresscode(dresscode, predictions)
    results = json.loads((output / "metrics.json").read_text())
    assert set(results["skipped"]) == {"ms_ssim", "lpips", "dists", "fid", "kid"}
    place = tmp_path / "torch_home" / "hub" / "checkpoints" / "inception-2015-12-05.pt"
    assert "no network in tests" in results["skipped"]["kid"] and str(place) in results["skipped"]["fid"]
    assert "161 pixels" in results["skipped"]["ms_ssim"]
    assert str(place) in capsys.readouterr().err
    assert str(place) in (output / "report.html").read_text()


def test_report_is_one_page_that_shows_everything(dresscode: Path, predictions: Path) -> None:
    output = of_dresscode(dresscode, predictions, "--metrics", "ssim", "psnr")
    page = (output / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    for words in ("TEMU-VTOFF", "75.95", "This run", "Not comparable", "12 items instead of the 5400", "48×64"):
        assert words in page, words
    for title in ("Best by SSIM", "Around the median by SSIM", "Worst by SSIM"):
        assert title in page
    assert page.count("<img") == 12 * 3 and page.count("<svg") == 2
    with (output / "per_item.csv").open() as file:
        ranked = [row["key"] for row in sorted(csv.DictReader(file), key=lambda row: -float(row["ssim"]))]
    shown = re.findall(r"<figcaption>(\w+/\w+) ", page)
    assert shown == [*ranked[:8], *reversed(ranked[8:])]  # four best, four in the middle, four worst, worst first


def test_vitonhd_and_unpaired_lists(tmp_path: Path, backbones: Path, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setenv("TORCH_HOME", str(backbones))
    root = write_vitonhd(tmp_path / "vitonhd")
    folder = tmp_path / "predictions" / "upper_body"
    folder.mkdir(parents=True)
    for n in range(4):
        Image.open(root / "test" / "cloth" / f"0000{n}_00.jpg").save(folder / f"0000{n}_00_0000{(n + 1) % 4}_00.png")
    flags = ("--dataset_name", "vitonhd", "--dataset_root", root, "--pred_dir", folder.parent, "--order", "unpaired")
    run(*flags)
    results = json.loads((tmp_path / "predictions_evaluation" / "metrics.json").read_text())
    assert set(results["metrics"]["overall"]) == {"fid", "kid"}
    assert results["metrics"]["overall"]["fid"]["value"] == pytest.approx(0, abs=1e-3)  # the same set
    run(*flags, "--metrics", "psnr")
    results = json.loads((tmp_path / "predictions_evaluation" / "metrics.json").read_text())
    assert results["metrics"]["overall"]["psnr"]["mean"] < 30  # the list's garment is not the one worn


def test_folders(tmp_path: Path) -> None:
    for name in ("a/x/1.png", "a/x/2.png", "a/y/1.png", "b/x/1.jpg", "b/x/2.jpg", "b/y/1.jpg", "c/x/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 40), (10, 200, 100)).save(tmp_path / name, quality=95)
    Image.new("RGB", (64, 80), (10, 200, 100)).save(tmp_path / "b/x/1.jpg", quality=95)  # the truth may be larger
    a, b, c = (tmp_path / name for name in "abc")
    run(
        "--pred_dir",
        a,
        "--truth_dir",
        b,
        "--photo_dir",
        c,
        "--metrics",
        "psnr",
        "ssim",
        "--output_dir",
        tmp_path / "out",
    )
    results = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(results["metrics"]) == {"overall", "x", "y"}
    assert results["metrics"]["overall"]["ssim"]["mean"] > 0.99
    page = (tmp_path / "out" / "report.html").read_text()
    assert "TEMU-VTOFF" not in page and page.count("<img") == 7

    for name in ("x/1.png", "x/2.png", "y/1.png"):
        Image.open(a / name).save(tmp_path / "b" / name)
    for path in b.rglob("*.jpg"):
        path.unlink()
    run("--pred_dir", a, "--truth_dir", b, "--metrics", "psnr", "--output_dir", tmp_path / "out")
    text = (tmp_path / "out" / "metrics.json").read_text()
    assert json.loads(text)["metrics"]["overall"]["psnr"] == {"mean": "inf", "median": "inf", "std": None}
    assert "Infinity" not in text and "NaN" not in text


def test_pictures_of_a_few_pixels_are_one_sentence_a_metric(tmp_path: Path, backbones: Path, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setenv("TORCH_HOME", str(backbones))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in (1, 2):
            Image.new("RGB", (4, 6), (10, 200, 100 + number)).save(tmp_path / name / f"{number}.png")
    run("--pred_dir", tmp_path / "a", "--truth_dir", tmp_path / "b")
    results = json.loads((tmp_path / "a_evaluation" / "metrics.json").read_text())
    assert set(results["metrics"]["overall"]) == {"psnr", "dists", "fid", "kid"}
    assert results["skipped"]["ssim"].startswith("SSIM needs at least 11 pixels on each side")
    assert set(results["skipped"]) == {"ssim", "ms_ssim", "lpips"}


def test_several_models_stand_side_by_side(dresscode: Path, predictions: Path, tmp_path: Path) -> None:
    blurred = tmp_path / "blurred"
    for path in predictions.rglob("*.png"):
        copy = blurred / path.relative_to(predictions)
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).filter(ImageFilter.GaussianBlur(4)).save(copy)
    flags = ("--dataset_name", "dresscode", "--dataset_root", dresscode, "--metrics", "ssim", "psnr")
    output = tmp_path / "out"
    run(*flags, "--pred_dir", predictions, blurred, "--names", "ours", "<theirs>", "--output_dir", output)
    with (output / "comparison.csv").open() as file:
        rows = {(row["model"], row["group"]): row for row in csv.DictReader(file)}
    assert float(rows["ours", "overall"]["ssim"]) > float(rows["<theirs>", "overall"]["ssim"]) + 0.01
    alone = json.loads((output / "ours" / "metrics.json").read_text())["metrics"]["overall"]["ssim"]["mean"]
    assert float(rows["ours", "overall"]["ssim"]) == alone and rows["ours", "dresses"]["items"] == "4"
    page = (output / "comparison.html").read_text()
    assert page.count("<img") == 12 * 4 and "&lt;theirs&gt;" in page and "<theirs>" not in page
    best = re.findall(r'class="best">([^<]+)', page)
    assert len(best) == 8 and best[0] == f"{100 * alone:.2f}"
    assert not re.search(r'(src|href)="(?!data:)', page)
    with Image.open(output / "comparison.png") as picture:
        assert picture.width > 4 * 180 and picture.height > 6 * 256
    (blurred / "dresses" / "200001_1.png").unlink()
    with pytest.raises(ValueError, match="1 missing: dresses/200001_1"):
        run(*flags, "--pred_dir", predictions, blurred, "--output_dir", output)
    run(*flags, "--pred_dir", predictions, blurred, "--output_dir", output, "--allow_missing")
    counts = {name: json.loads((output / name / "metrics.json").read_text()) for name in ("predictions", "blurred")}
    assert all(own["items"] == 11 and own["missing"] == ["dresses/200001_1"] for own in counts.values())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("a", "b", "--names", "one"), "names are 1 and pred_dir 2"),
        (("a", "b", "--names", "one", "one"), "Two models have one name"),
        (("a", "x/a"), "Two models have one name: a, a; give names"),
        (("a", "b", "--names", "one", "../b"), "is no name for a folder"),
        (("a", "--names", "one"), "names are for several folders"),
    ],
)
def test_wrong_names_of_models(flags: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run("--truth_dir", "t", "--pred_dir", *flags)


def test_no_stale_results(dresscode: Path, predictions: Path) -> None:
    first = of_dresscode(dresscode, predictions, "--metrics", "ssim") / "metrics.json"
    before = json.loads(first.read_text())["metrics"]["overall"]["ssim"]["mean"]
    for path in predictions.rglob("*.png"):
        Image.open(path).filter(ImageFilter.GaussianBlur(3)).save(path)
    of_dresscode(dresscode, predictions, "--metrics", "ssim")
    assert json.loads(first.read_text())["metrics"]["overall"]["ssim"]["mean"] < before - 0.01


def test_missing_and_extra_predictions(dresscode: Path, predictions: Path) -> None:
    (predictions / "dresses" / "200001_1.png").rename(predictions / "dresses" / "stray.png")
    (predictions / "upper_body" / "000002_1.png").unlink()
    with pytest.raises(ValueError) as caught:
        of_dresscode(dresscode, predictions)
    message = str(caught.value)
    assert "2 missing: upper_body/000002_1, dresses/200001_1" in message
    assert "1 without truth: dresses/stray" in message
    assert "--allow_missing" in command_line.explain(caught.value)
    output = of_dresscode(dresscode, predictions, "--allow_missing", "--metrics", "ssim")
    results = json.loads((output / "metrics.json").read_text())
    assert results["items"] == 10 and results["extra"] == ["dresses/stray"]
    assert results["missing"] == ["upper_body/000002_1", "dresses/200001_1"]
    assert "upper_body/000002_1" in (output / "report.html").read_text()
    of_dresscode(dresscode, predictions, "--category", "lower_body", "--metrics", "ssim")  # complete
    Image.open(predictions / "lower_body" / "100000_1.png").save(predictions / "lower_body" / "100000_1.jpg")
    with pytest.raises(ValueError, match="have the same name; keep one"):
        of_dresscode(dresscode, predictions, "--category", "lower_body")


def test_items_can_be_left_out(dresscode: Path, predictions: Path, tmp_path: Path, capsys) -> None:
    listed = tmp_path / "duplicates.txt"
    listed.write_text("# known duplicates\n000001\n100002_1.jpg\n\ndresses/200003_1\n999999\n")
    (predictions / "dresses" / "200003_1.png").unlink()  # neither missing nor compared
    output = of_dresscode(dresscode, predictions, "--metrics", "ssim", "--exclude", listed)
    results = json.loads((output / "metrics.json").read_text())
    left_out = ["dresses/200003_1", "lower_body/100002_1", "upper_body/000001_1"]
    assert results["excluded"] == left_out and results["missing"] == results["extra"] == [] and results["items"] == 9
    assert "3 items were left out on purpose" in (output / "report.html").read_text()
    err = capsys.readouterr().err
    assert "3 items are left out" in err and "1 names" in err and "999999" in err
    for text, words in {
        "": "names nothing",
        "\n".join(p.stem for p in predictions.rglob("*.png")): "leaves no pair",
    }.items():
        listed.write_text(text)
        with pytest.raises(ValueError, match=words):
            of_dresscode(dresscode, predictions, "--exclude", listed, "--allow_missing")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--pred_dir", "nowhere", "--truth_dir", "."], "There is no folder nowhere"),
        (["--pred_dir", "."], "Give --dataset_name and --dataset_root, or --truth_dir"),
        (["--pred_dir", ".", "--dataset_name", "dresscode"], "go together"),
        (["--pred_dir", ".", "--dataset_name", "dresscode", "--dataset_root", "nowhere"], "There is no folder nowhere"),
        (["--pred_dir", "empty", "--truth_dir", "empty"], "no pictures in empty"),
    ],
)
def test_mistakes_end_with_one_sentence(
    tmp_path: Path, flags: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert script_calls.call(evaluate, *flags) == 2
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err


def test_help_names_the_flags(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="0"):
        evaluate.parse_args(["--help"])
    assert "--allow_missing" in capsys.readouterr().out

"""The built-in model is measured as a user has it: on newly drawn people, by every variant, against known scores."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

from builtin_training import measure
from builtin_training.cases import Case, as_variant, draw_cases
from builtin_training.products import cut_out
from builtin_training.scores import score
from temu_vtoff import TryOffPipeline


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return draw_cases(2)


def test_true_products_score_full_marks(cases):
    scores = score(torch.stack([to_tensor(case.product) for case in cases]), cases, judge=None)
    assert scores["silhouette_iou"] > 0.97 and scores["ssim"] == 1 and scores["color_error"] == 0


def test_the_baseline_shows_the_garment_as_worn_in_the_middle_of_white(cases):
    for case in cases:
        picture = np.asarray(cut_out(case.photo, case.mask))
        rows, columns = np.nonzero((picture < 245).any(axis=2))
        assert abs(rows.min() + rows.max() - picture.shape[0]) < 12
        assert abs(columns.min() + columns.max() - picture.shape[1]) < 12
        assert max(np.ptp(rows) / picture.shape[0], np.ptp(columns) / picture.shape[1]) > 0.75


def test_the_other_photo_is_of_the_same_category_and_keeps_the_caption(cases):
    for case in cases:
        case.found_mask, case.found_caption = case.mask, case.caption
    for given, case in zip(as_variant(cases, "other_photo"), cases, strict=True):
        other = next(c for c in cases if c.photo is given.photo)
        assert other is not case and other.category == case.category and given.found_caption == case.caption
        assert given.found_mask is other.found_mask


def test_layers_are_measured_from_the_truth_without_a_segmenter_that_tells_them(tmp_path: Path):
    cases = draw_cases(2, layers=True)
    assert [case.category for case in cases] == ["outer", "inner"] * 2
    assert not (np.asarray(cases[0].mask) & np.asarray(cases[1].mask)).any()
    assert cases[0].attributes["Cloth Type"] in ("jacket", "cardigan", "coat") and cases[0].photo is cases[1].photo
    given = ["--layers", "--count", "1", "--num_inference_steps", "2", "--device", "cpu"]
    measure.main(measure.parse_args([*given, "--output_dir", str(tmp_path), "--variants", "true_mask_caption"]))
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["found"] == {} and {"silhouette_iou_outer", "color_error_inner"} <= set(scores["true_mask_caption"])
    assert (tmp_path / "people.png").exists()


def test_every_variant_is_measured_and_other_transformers_score_otherwise(tmp_path: Path, capsys):
    pipe = TryOffPipeline.from_pretrained("builtin")
    with torch.no_grad():
        pipe.transformer.proj_out.weight.zero_()
    for part in ("transformer", "transformer_vton", "scheduler"):
        getattr(pipe, part).save_pretrained(tmp_path / "blind" / part)
    common = ["--count", "2", "--num_inference_steps", "2", "--device", "cpu"]
    variants = ["full", "no_caption", "other_photo", "no_reference", "published_guidance", "cut_out", "through_vae"]
    folder, blind = tmp_path / "all", tmp_path / "blind_scores"
    measure.main(measure.parse_args([*common, "--output_dir", str(folder), "--variants", *variants]))
    transformers = ["--pretrained_model_name_or_path_sd3_tryoff", str(tmp_path / "blind")]
    measure.main(measure.parse_args([*common, *transformers, "--output_dir", str(blind)]))
    scores = json.loads((folder / "scores.json").read_text())
    assert set(scores) == {"found", *variants} and scores["found"]["mask_iou"] > 0.85
    assert len({json.dumps(scores[name]) for name in variants}) == len(variants)
    assert 0.85 < scores["through_vae"]["ssim"] < 1 and scores["through_vae"]["color_error"] < 2
    assert json.loads((blind / "scores.json").read_text())["full"]["ssim"] < scores["full"]["ssim"]
    assert [line.split(" | ")[0] for line in (folder / "table.md").read_text().splitlines()[2:]] == [
        f"| {name}" for name in variants
    ]
    assert Image.open(folder / "people.png").size == Image.open(blind / "people.png").size
    assert "| full | " in capsys.readouterr().out


def test_one_person_has_no_other_photo(tmp_path: Path):
    flags = ["--count", "1", "--variants", "other_photo", "--output_dir", str(tmp_path)]
    with pytest.raises(ValueError, match="count is 1, give 2 or more"):
        measure.main(measure.parse_args(flags))

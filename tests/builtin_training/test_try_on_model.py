"""The built-in try-on model from drawn people to its scores, with a step of training; and what its scores mean."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from builtin_training import assemble_try_on, encode_try_on, measure_try_on, train_try_on, try_on_cases, try_on_shards
from builtin_training.try_on_shards import Shards, split_shards
from drawn_people import draw_person
from drawn_people.correspondence import draw_try_on_correspondence
from drawn_people.swap import draw_try_on
from temu_vtoff import TryOn, TryOnOptions, TryOnPipeline
from temu_vtoff.tryon.body_picture import body_picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two shards of two people a category, and a model that took a step on them."""
    root = tmp_path_factory.mktemp("try_on")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(try_on_shards, "PEOPLE", 2)
        patch.setattr(try_on_shards, "GARMENTS", 1)
        encode = ["--shards", "2", "--output_dir", str(root / "encoded")]
        encode_try_on.main(encode_try_on.parse_args(encode))
        made = sorted((root / "encoded").iterdir())
        before = made[0].stat().st_mtime_ns
        encode_try_on.main(encode_try_on.parse_args(encode))
        assert len(made) == 2 and made[0].stat().st_mtime_ns == before  # what is there is kept
    AcceleratorState._reset_state(reset_partial_state=True)
    where = ["--dataset_root", str(root / "encoded"), "--output_dir", str(root / "model")]
    small = ["--max_train_steps", "1", "--train_batch_size", "2", "--num_validation_items", "2", "--logging_steps", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_try_on, "SHOWN", 2)
        patch.setattr(train_try_on, "STEPS", 1)
        more = ["--validation_steps", "1", "--mixed_precision", "no"]
        train_try_on.main(train_try_on.parse_args([*where, *small, *more]))
    AcceleratorState._reset_state(reset_partial_state=True)
    whole = ["--run", str(root / "model"), "--output_dir", str(root / "whole")]
    assemble_try_on.main(assemble_try_on.parse_args(whole))
    return root


def test_a_shard_holds_people_in_the_garments_of_others(folder):
    shards = Shards(sorted((folder / "encoded").iterdir()))
    batch = shards[[0, 3, 11]]
    assert len(shards) == 12 and batch.dressed.shape == (3, 16, 32, 24) and batch.pose.shape == (3, 3, 256, 192)
    assert batch.coords.shape == (3, 32, 24, 2) and batch.coords.isfinite().any(-1).any(-1).any(-1).all()
    outside = (batch.dressed - batch.masked_mean).square().mean(1, keepdim=True)[batch.mask < 0.5]
    assert outside.mean() < 0.3 * (batch.dressed - batch.masked_mean).square().mean()


def test_training_and_validation_have_other_people(folder):
    train, test = split_shards(folder / "encoded")
    assert len(train) == len(test) == 6 and not torch.equal(train[[0]].dressed, test[[0]].dressed)


def test_a_run_logs_scores_and_becomes_a_model_that_try_on_opens(folder):
    rows = [json.loads(line) for line in (folder / "model" / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "flow", "correspondence"} <= set(rows[0])
    assert {"validation_loss", "validation_region_error"} <= set(rows[-1])
    assert (folder / "model" / "validation.png").is_file()
    pipe = TryOnPipeline.from_pretrained(folder / "whole")
    assert pipe.pose_guider.config.reads == "labels" and pipe.working_size.choose(None, None) == (192, 256)


def test_the_measuring_reports_every_variant(folder):
    out = folder / "measured"
    flags = ["--tryon_model", str(folder / "whole"), "--count", "2", "--num_inference_steps", "1"]
    variants = ["product", "person_as_is", "product_pasted"]
    measure_try_on.main(measure_try_on.parse_args([*flags, "--output_dir", str(out), "--variants", *variants]))
    scores = json.loads((out / "scores.json").read_text())
    assert list(scores) == variants
    for of_variant in scores.values():
        assert set(of_variant) == {"all", "upper_body", "lower_body", "dresses"}
        assert of_variant["all"]["outside_equal"] == 1
    assert "| person_as_is |" in (out / "table.md").read_text()
    assert Image.open(out / "people.png").width > 192


def test_a_transfer_takes_the_garment_off_the_other_person_first(folder):
    sources = {"base": "builtin", "tryoff": "builtin", "segmenter": "builtin"}
    options = TryOnOptions(tryon=str(folder / "whole"), **sources, region="tight", preset="turbo")
    toolkit, case = TryOn(replace(options, num_inference_steps=1)), try_on_cases.draw_cases(2)[0]
    try_on_cases.find_regions([case], toolkit)
    (transferred,), (put_on,) = (try_on_cases.make([case], variant, toolkit) for variant in ("transfer", "product"))
    assert transferred.size == put_on.size and transferred.tobytes() != put_on.tobytes()


def test_the_truth_itself_scores_best():
    case = try_on_cases.draw_cases(2)[0]
    toolkit = TryOn(TryOnOptions(tryon="unused", base="builtin", tryoff="builtin", segmenter="builtin", region="tight"))
    try_on_cases.find_regions([case], toolkit)
    perfect = try_on_cases.score(case, case.truth, toolkit)
    assert (
        perfect["ssim"] == pytest.approx(1, abs=1e-3)
        and perfect["color_error"] == 0
        and perfect["silhouette_iou"] > 0.9
    )
    assert perfect["outside_equal"] == 0  # the truth's garment is wider than the region
    as_is = try_on_cases.score(case, case.photo, toolkit)
    assert as_is["ssim"] < 0.95 and as_is["color_error"] > 3 and as_is["outside_equal"] == 1


def test_a_correspondence_names_the_place_of_the_garment_that_each_cell_of_the_photo_shows():
    coords = draw_try_on_correspondence(1001, 2001, "dresses")
    worn = draw_try_on(1001, 2001, "dresses")
    product = np.asarray(draw_person(2001, "dresses").garments["dresses"].product, np.float32)
    seen = np.isfinite(coords).all(-1)
    labels = np.asarray(worn.label_map)[4::8, 4::8]
    assert seen.sum() > 0.7 * (labels == 7).sum() and (labels[seen] == 7).all()
    rows, columns = np.nonzero(seen)
    x, y = (coords[seen] * (192, 256)).astype(int).T
    photo = np.asarray(worn.photo, np.float32)[rows * 8 + 4, columns * 8 + 4]
    assert np.abs(photo - product[y, x]).mean() < 0.6 * np.abs(photo - product[y[::-1], x[::-1]]).mean()


def test_body_pictures_tell_clothes_limbs_and_sides_apart():
    labels = np.array([[0, 4, 5, 6, 7, 11, 12, 13, 14, 15]], np.uint8)
    pixels = [tuple(pixel) for pixel in np.asarray(body_picture(labels))[0]]
    assert pixels[0] == (0, 0, 0) and len(set(pixels)) == 10


def test_shards_that_are_missing_or_damaged_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds 0 shards"):
        split_shards(tmp_path)
    (tmp_path / "shard-0000.safetensors").write_bytes(b"no")
    (tmp_path / "shard-0001.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"shard-000\d.safetensors is damaged"):
        split_shards(tmp_path)

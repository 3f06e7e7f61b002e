"""train.py --task try_on on tiny models: from scratch, from SD3, cached and resumed; and its mistakes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

import train
from command_line.common import explain
from drawn_people.layouts import write_dresscode
from drawn_people.people import People
from temu_vtoff import TryOnPipeline
from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.tryon_transformer import TryOnTransformer
from temu_vtoff.training.settings import FlowSettings
from temu_vtoff.training.step_sampler import step_generator
from temu_vtoff.training.tryon_data import EncodedFittings
from temu_vtoff.training.tryon_initialization import models_from_sd3, new_pose_guider
from temu_vtoff.training.tryon_objective import TryOnObjective
from temu_vtoff.training.tryon_pairs import FittingPairs, open_fittings
from tests.tiny_training import save_tiny_base
from tests.tiny_transformers import SHAPE, C, P, make_generator, rngs

SMALL = "--from_scratch --num_layers 2 --num_attention_heads 1"
QUICK = "--max_train_steps 4 --checkpointing_steps 2 --validation_steps 4 --logging_steps 1 --lr_warmup_steps 1"
SPARE = "--num_inference_steps 1 --num_validation_items 2 --num_validation_images 2 --report_to none"
SIZE = "--width 96 --height 128 --train_batch_size 2"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_dresscode(root, People(2, 1, width=96, height=128))
    return root


@pytest.fixture(autouse=True)
def own_process():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def run(base, data, tmp_path):
    def start(more: str = "", folder: str = "run", weights: str = SMALL) -> Path:
        AcceleratorState._reset_state(reset_partial_state=True)
        where = f"--pretrained_model_name_or_path {base} --dataset_root {data} --output_dir {tmp_path / folder}"
        words = f"--task try_on {where} {weights} {SIZE} {QUICK} {SPARE} {more}".split()
        assert train.main(train.parse_args(words)) == 0
        return tmp_path / folder

    return start


def losses(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def test_a_run_writes_what_try_on_opens(run):
    folder = run()
    pipe = TryOnPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    grey = Image.new("RGB", (96, 128), "grey")
    mask = Image.new("L", (96, 128), 255)
    assert pipe(grey, grey, mask, pose=grey, num_inference_steps=1, width=96, height=128).images[0].size == (96, 128)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"validation_loss", "validation_ssim", "validation_region_error"} <= set(rows[-1])
    assert (folder / "validation" / "step-000004.png").is_file() and (folder / "best" / "transformer_garm").is_dir()


def test_a_cache_and_encoding_on_the_fly_train_alike(run, tmp_path):
    cached = run(f"--cache_dir {tmp_path / 'cache'}", "cached")
    assert losses(run("", "live")) == pytest.approx(losses(cached), rel=2e-3)  # the cache holds half precision
    with pytest.raises(ValueError, match="other models or from other data"):
        run(f"--cache_dir {tmp_path / 'cache'} --region tight", "tight")


def test_a_resumed_run_has_the_same_losses(run):
    whole = losses(run("", "whole"))
    half = run("--max_train_steps 2 --lr_scheduler constant", "resumed")
    run("--lr_scheduler constant --resume_from_checkpoint latest", "resumed")
    other = losses(run("--lr_scheduler constant", "other"))
    assert losses(half) == other and len(whole) == 4


def test_from_sd3_the_first_prediction_reads_neither_person_nor_pose(base, run, tmp_path):
    sd3 = tmp_path / "sd3"
    for part in base.iterdir():
        (sd3 / part.name).parent.mkdir(exist_ok=True)
        (sd3 / part.name).symlink_to(part)
    own = make_generator()
    own.save_pretrained(sd3 / "transformer")
    extractor, denoiser, guider = models_from_sd3(str(sd3))
    assert extractor.config.in_channels == 4 and denoiser.config.in_channels == 9
    noisy, embeds, time = torch.randn(1, 4, 8, 8), torch.randn(1, P), torch.tensor([500.0])
    predictions = [
        denoiser(hidden_states=torch.cat([noisy, person], 1), pooled_projections=embeds, timestep=time).sample
        for person in (torch.zeros(1, 5, 8, 8), torch.randn(1, 5, 8, 8))
    ]
    torch.testing.assert_close(*predictions)
    assert guider(torch.rand(1, 3, 64, 64)).abs().max() == 0
    for name in ("transformer_blocks.0.attn.to_k.weight", "proj_out.weight"):
        assert torch.equal(denoiser.state_dict()[name], own.state_dict()[name])
    assert len(losses(run(f"--pretrained_model_name_or_path {sd3}", weights=""))) == 4


def encoded() -> EncodedFittings:
    rng = step_generator(1)
    randn = lambda *shape: torch.randn(3, *shape, generator=rng)
    return EncodedFittings(
        dressed=randn(C, 8, 8),
        masked_mean=randn(C, 8, 8),
        masked_std=randn(C, 8, 8).abs(),
        mask=(randn(1, 8, 8) < 0).float(),
        garment_mean=randn(C, 8, 8),
        garment_std=randn(C, 8, 8).abs(),
        garment_embeds=randn(P),
        pose=randn(3, 64, 64).sigmoid(),
        has_pose=torch.tensor([True, False, True]),
    )


def objective(outside_weight: float = 1.0) -> TryOnObjective:
    torch.manual_seed(2)
    denoiser = TryOnTransformer(in_channels=2 * C + 1, out_channels=C, **SHAPE)
    guider = new_pose_guider(denoiser)
    torch.nn.init.normal_(guider.out.weight)
    return TryOnObjective(FeatureExtractor(in_channels=C, **SHAPE), denoiser, guider, FlowSettings(), outside_weight)


def test_outside_the_region_the_loss_counts_as_little_as_asked():
    batch = encoded()
    share = batch.mask.mean(dim=(1, 2, 3))
    inside, outside = (
        objective(0.0)(replace(batch, mask=mask), rngs(count=3))["loss"] for mask in (batch.mask, batch.mask)
    )
    assert torch.equal(inside, outside)  # the same random numbers
    whole, region = (objective(weight)(batch, rngs(count=3))["loss"].item() for weight in (1.0, 0.0))
    half = objective(0.5)(batch, rngs(count=3))["loss"].item()
    assert min(whole, region) < half < max(whole, region) and (share > 0).all()


def test_without_a_pose_its_picture_changes_nothing():
    batch = encoded()
    changed = batch.pose.clone()
    changed[1] = 0.3  # has none
    same = replace(batch, pose=changed)
    other = replace(batch, pose=1 - batch.pose)
    first, second, third = (objective()(b, rngs(count=3))["loss"].item() for b in (batch, same, other))
    assert first == second != third


def test_a_dropped_garment_is_that_of_guidances_negative_branch():
    batch = encoded().drop_conditions(torch.tensor([True, False, False]), torch.tensor([False, True, False]))
    assert not batch.garment_mean[0].any() and not batch.garment_std[0].any() and not batch.garment_embeds[:2].any()
    assert batch.garment_mean[1].any() and batch.garment_embeds[2].any()


def test_pairs_have_region_and_pose_of_the_photo(data):
    pairs = FittingPairs(open_fittings("dresscode", str(data), "train", (96, 128)))
    batch = pairs[[0, 1]]
    assert batch.person.shape == batch.garment.shape == batch.pose.shape == (2, 3, 128, 96)
    assert batch.has_pose.all() and batch.pose.amax() > 0.5
    labels = np.asarray(Image.open(data / "upper_body" / "label_maps" / "000000_4.png"))
    assert batch.mask[0, 0].numpy()[labels == 4].all() and not batch.mask[0, 0].numpy()[labels == 11].any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--task try_on --stage joint", "--stage is for --task try_off"),
        ("--task try_on --align_weight 1", "--align_weight is for --task try_off"),
        ("--task try_off", "--stage is missing; choose one of extractor, generator, joint"),
    ],
)
def test_mistakes_are_one_sentence(words, message, data, tmp_path):
    arguments = train.parse_args(f"{words} --dataset_root {data} --output_dir {tmp_path / 'run'}".split())
    with pytest.raises(ValueError) as error:
        train.main(arguments)
    assert message in explain(error.value)
    assert not (tmp_path / "run").exists()

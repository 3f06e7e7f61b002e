"""train_transformers from start to end on tiny models: train.py's stages with what the built-in model needs."""

import json
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

import command_line
from builtin_training import train_transformers
from temu_vtoff import TryOffPipeline
from tests.tiny_training import save_tiny_base, save_tiny_dresscode

SMALL = "--from_scratch --num_layers 2 --num_attention_heads 1 --width 48 --height 64 --train_batch_size 4"
QUICK = "--max_train_steps 8 --checkpointing_steps 4 --validation_steps 4 --logging_steps 1 --lr_warmup_steps 2"
SPARE = "--num_inference_steps 2 --num_validation_items 4 --num_validation_images 2 --report_to none"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return save_tiny_dresscode(tmp_path_factory.mktemp("data") / "dresscode")


@pytest.fixture
def arguments(base, data, tmp_path):
    """The command line of a quick run into tmp_path/run, with more arguments at the end."""

    def build(more: str = "", stage: str = "joint") -> list[str]:
        where = f"--pretrained_model_name_or_path {base} --dataset_root {data} --output_dir {tmp_path / 'run'}"
        return f"--stage {stage} {where} {SMALL} {QUICK} {SPARE} {more}".split()

    return build


def run(arguments: list[str]) -> int:
    AcceleratorState._reset_state(reset_partial_state=True)
    return train_transformers.main(train_transformers.parse_args(arguments))


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_cache_holds_mirrored_items_too_and_is_refused_where_it_does_not(arguments, tmp_path):
    run(arguments(f"--random_flip --output_dir {tmp_path / 'live'}"))
    run(arguments(f"--random_flip --output_dir {tmp_path / 'cached'} --cache_dir {tmp_path / 'cache'}"))
    live, cached = ([row["loss"] for row in rows(tmp_path / name) if "loss" in row] for name in ("live", "cached"))
    assert cached == pytest.approx(live, rel=2e-3)  # the cache holds half precision
    with pytest.raises(ValueError, match="other data"):
        run(arguments(f"--cache_dir {tmp_path / 'cache'}"))


def test_the_regression_is_logged_and_left_out_of_the_export(arguments, tmp_path):
    assert run(arguments("--regress_weight 0.5 --num_validation_images 0")) == 0
    first, last = rows(tmp_path / "run")[0], rows(tmp_path / "run")[-1]
    assert first["loss"] == pytest.approx(first["flow"] + 0.5 * first["regress"])
    assert "validation_loss" in last and "validation_ssim" not in last
    exported = load_file(tmp_path / "run" / "transformer_vton" / "diffusion_pytorch_model.safetensors")
    assert exported and not any("head" in name for name in exported)


@pytest.mark.parametrize(("stage", "sides"), [("joint", (1, 1)), ("generator", (1, 2))])
def test_trained_transformers_continue_with_smaller_patches(arguments, base, tmp_path, stage, sides):
    run(arguments())
    start_from = f"--pretrained_model_name_or_path_sd3_tryoff {tmp_path / 'run'} --output_dir {tmp_path / 'smaller'}"
    more = [a for a in arguments(f"{start_from} --patch_size 1", stage) if a != "--from_scratch"]
    assert run([*more, "--max_train_steps", "4"]) == 0
    assert run([*more, "--resume_from_checkpoint", "latest"]) == 0
    pipe = TryOffPipeline.from_pretrained(base, tmp_path / "smaller")
    assert (pipe.transformer.config.patch_size, pipe.transformer_vton.config.patch_size) == sides
    assert pipe.working_size.multiple == 8 * max(sides)
    if stage == "generator":
        with pytest.raises(ValueError, match=r"another patch_size"):
            run([*more, "--lora_rank", "2", "--output_dir", str(tmp_path / "lora")])


def test_correspondences_train_from_a_cache_as_without(arguments, data, tmp_path):
    supervision = "--correspondence_weight 0.5 --correspondence_block 1 2 --random_flip --num_validation_images 0 "
    supervision += f"--correspondence_dir {data / 'truth' / 'correspondences'}"
    for folder in ("live", "cached"):
        cache = f"--cache_dir {tmp_path / 'cache'}" if folder == "cached" else ""
        assert run(arguments(f"{supervision} {cache} --output_dir {tmp_path / folder}")) == 0
    live, cached = ([row for row in rows(tmp_path / folder) if "loss" in row] for folder in ("live", "cached"))
    assert live[0]["loss"] == pytest.approx(live[0]["flow"] + 0.5 * live[0]["correspondence"])
    for one, other in zip(live, cached, strict=True):
        assert one["correspondence"] == pytest.approx(other["correspondence"], rel=0.02)
    run(arguments(f"--output_dir {tmp_path / 'without'} --cache_dir {tmp_path / 'cache'} --random_flip"))  # serves both


def test_a_run_keeps_its_optimizer(arguments):
    run(arguments("--max_train_steps 4 --validation_steps 0"))
    with pytest.raises(ValueError, match="optimizer adamw, not of muon"):
        run(arguments("--resume_from_checkpoint latest --optimizer muon"))


def test_muon_resumes_to_the_same_losses(arguments, tmp_path):
    more = f"--optimizer muon --lr_scheduler trapezoid --mixed_precision no --cache_dir {tmp_path / 'cache'}"
    run(arguments(f"{more} --output_dir {tmp_path / 'whole'}"))
    run(arguments(f"{more} --max_train_steps 4"))
    run(arguments(f"{more} --resume_from_checkpoint latest"))
    whole, resumed = ([row["loss"] for row in rows(tmp_path / name) if "loss" in row] for name in ("whole", "run"))
    assert len(whole) == 8 and resumed == pytest.approx(whole, rel=1e-4)  # its rate doesn't depend on the length


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--regress_weight 1 --stage generator", "regress_weight"),
        ("--correspondence_weight 1", "correspondence_dir"),
        ("--correspondence_weight 1 --correspondence_dir BASE --stage extractor", "stage extractor"),
        (
            "--correspondence_weight 1 --correspondence_block 1 --correspondence_dir nowhere",
            "python -m drawn_people --correspondences",
        ),
        ("--correspondence_weight 1 --correspondence_dir BASE --correspondence_block 2", "no correspondences"),
        ("--correspondence_weight 1 --correspondence_dir BASE", "blocks 1 to 2"),
        ("--correspondence_weight 1 --correspondence_dir TRUTH --correspondence_block 1 --width 64", "6:8"),
        ("--optimizer muon --use_8bit_adam", "optimizer adamw"),
    ],
)
def test_mistakes_are_one_sentence(arguments, base, data, more, message):
    truth = data / "truth" / "correspondences"
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        run(arguments(more.replace("BASE", str(base)).replace("TRUTH", str(truth))))
    assert message in str(caught.value)
    assert command_line.explain(caught.value) is not None

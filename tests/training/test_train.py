"""train.py from start to end on tiny models: every stage, exact resume, kills, and the messages for mistakes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file

import command_line
import inference
import train
from temu_vtoff import TryOffPipeline
from temu_vtoff.datasets.masks import generated_mask_path
from temu_vtoff.training import latent_cache
from temu_vtoff.training.pairs import PairDataset, open_split
from tests import script_processes
from tests.script_calls import ROOT
from tests.tiny_training import save_tiny_base, save_tiny_dresscode

SMALL = "--from_scratch --num_layers 2 --num_attention_heads 1 --width 48 --height 64 --train_batch_size 4"
QUICK = "--max_train_steps 8 --checkpointing_steps 4 --validation_steps 4 --logging_steps 1 --lr_warmup_steps 2"
PARTS = ("extractor", "generator")  # of the objective
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


@pytest.fixture(autouse=True)
def own_process():
    """What a process of its own would have: an accelerator that nobody has set up yet. Signals are as before."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    AcceleratorState._reset_state(reset_partial_state=True)


def run(arguments: list[str]) -> int:
    AcceleratorState._reset_state(reset_partial_state=True)
    return train.main(train.parse_args(arguments))


def run_alone(arguments: list[str]) -> None:
    """In a process of its own. Only runs of like processes are equal to the last bit: what other tests did in this one
    (threads, kernels already chosen) may round differently."""
    assert script_processes.run("train", arguments) == 0


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


def test_joint_training_writes_what_inference_opens(arguments, base, data, tmp_path):
    more = f"--cache_dir {tmp_path / 'cache'} --caption_file {data / 'captions.json'} --report_to tensorboard"
    assert run(arguments(more)) == 0
    folder = tmp_path / "run"
    pipe = TryOffPipeline.from_pretrained(base, folder)
    assert pipe.transformer.config.num_layers == 2
    photo = next((data / "dresses" / "images").glob("*_0.jpg"))
    models = f"--pretrained_model_name_or_path {base} --pretrained_model_name_or_path_sd3_tryoff {folder}"
    mask = tmp_path / "mask.png"
    Image.new("L", (48, 64), 255).save(mask)
    given = f"--example_image {photo} --mask {mask} --caption dress --width 48 --height 64 --num_inference_steps 1"
    inference.main(inference.parse_args(f"{models} {given} --output_dir {tmp_path / 'out'}".split()))
    assert Image.open(tmp_path / "out" / f"{photo.stem}_output.png").size == (48, 64)
    losses = [row["loss"] for row in rows(folder) if "loss" in row]
    assert len(losses) == 8
    scored = [row for row in rows(folder) if "validation_loss" in row]
    assert [row["step"] for row in scored] == [4, 8]
    assert {"validation_silhouette_iou", "validation_color_error", "validation_ssim"} <= set(scored[0])
    assert (folder / "validation" / "step-000008.png").is_file()
    assert (folder / "best" / "transformer").is_dir()
    record = json.loads((folder / "run.json").read_text())
    assert record["steps"] == 8 and record["last_loss"] == losses[-1]
    assert list(folder.rglob("events.out.tfevents.*"))


def test_an_encoded_cache_and_encoding_on_the_fly_train_alike(arguments, data, tmp_path):
    captions = f"--caption_file {data / 'captions.json'}"
    run(arguments(captions))
    live = rows(tmp_path / "run")
    run(arguments(f"{captions} --cache_dir {tmp_path / 'cache'} --output_dir {tmp_path / 'cached'}"))
    for a, b in zip(live, rows(tmp_path / "cached"), strict=True):
        assert a.get("loss", 0) == pytest.approx(b.get("loss", 0), rel=2e-3)  # the cache holds half precision


def test_one_cache_serves_trainings_with_and_without_alignment(arguments, base, tmp_path, monkeypatch):
    align = f"--align_weight 0.5 --align_block 1 --align_model {base}/image_encoder_"
    cache = f"--cache_dir {tmp_path / 'cache'}"
    run(arguments(f"{align}large --output_dir {tmp_path / 'live'}"))
    run(arguments(f"{cache} --output_dir {tmp_path / 'plain'}"))
    monkeypatch.setattr(latent_cache, "encode_pictures", None)  # they must not be encoded a second time
    run(arguments(f"{cache} {align}large --output_dir {tmp_path / 'aligned'}"))
    run(arguments(f"{cache} --output_dir {tmp_path / 'plain_again'}"))
    for one, other, loss in (("live", "aligned", "align"), ("plain", "plain_again", "loss")):
        for a, b in zip(rows(tmp_path / one), rows(tmp_path / other), strict=True):
            assert a.get(loss, 0) == pytest.approx(b.get(loss, 0), abs=2e-3)  # the cache holds half precision
    with pytest.raises(ValueError, match="encoded by other models"):
        run(arguments(f"{cache} {align}bigG"))


def test_a_cache_takes_other_captions_without_encoding_pictures_again(arguments, data, tmp_path, monkeypatch):
    captions, cache = f"--caption_file {data / 'captions.json'}", f"--cache_dir {tmp_path / 'cache'}"
    run(arguments(f"{captions} --output_dir {tmp_path / 'live'}"))
    run(arguments(f"{cache} --output_dir {tmp_path / 'without'}"))
    monkeypatch.setattr(latent_cache, "encode_pictures", None)
    run(arguments(f"{cache} {captions} --output_dir {tmp_path / 'with_captions'}"))
    live, without, with_captions = (
        [row["loss"] for row in rows(tmp_path / name) if "loss" in row] for name in ("live", "without", "with_captions")
    )
    assert with_captions == pytest.approx(live, rel=2e-3)  # the cache holds half precision
    assert with_captions != pytest.approx(without, rel=2e-3)


def test_masks_of_the_segmenter_go_before_those_of_the_label_maps(data, tmp_path):
    from_label_maps = PairDataset(open_split("dresscode", data, "train", size=(48, 64)))
    path = generated_mask_path(tmp_path, from_label_maps.dataset.items[1])
    path.parent.mkdir(parents=True)
    Image.new("L", (48, 64), 255).save(path)
    segmented = PairDataset(open_split("dresscode", data, "train", size=(48, 64), mask_dir=tmp_path))
    ours, theirs = segmented[range(3)], from_label_maps[range(3)]
    assert torch.equal(ours.mask[::2], theirs.mask[::2])
    assert ours.mask[1].all() and not theirs.mask[1].all()
    assert ours.masked_image[1].std() == 0  # greyed all over


@pytest.mark.parametrize("more", ["--gradient_accumulation_steps 2", "--mixed_precision bf16"])
def test_a_killed_run_resumes_to_the_same_losses_and_weights(arguments, tmp_path, more):
    cache = f"--cache_dir {tmp_path / 'cache'} {more}"
    run_alone(arguments(f"{cache} --output_dir {tmp_path / 'whole'}"))
    process = script_processes.start("train", arguments(f"{cache} --checkpointing_steps 3 --max_train_steps 8"))
    checkpoint = tmp_path / "run" / "checkpoints" / "step-000003" / "training_state.json"
    script_processes.kill_when(process, checkpoint.is_file)
    assert checkpoint.is_file()
    run_alone(arguments(f"{cache} --checkpointing_steps 3 --resume_from_checkpoint step-000003"))
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    for name, weight in weights(tmp_path / "whole").items():
        assert torch.equal(weight, weights(tmp_path / "run")[name]), name


def test_sigterm_ends_with_a_checkpoint_at_the_step_it_had_reached(arguments, tmp_path):
    endless = arguments("--max_train_steps 100000 --checkpointing_steps 100000 --validation_steps 0")
    process = script_processes.start("train", endless)
    log = tmp_path / "run" / "metrics.jsonl"
    while not log.is_file() and process.is_alive():
        time.sleep(0.05)
    for _ in range(2):  # launchers send it more than once
        process.terminate()
    process.join(120)
    assert process.exitcode == 130
    last = rows(tmp_path / "run")[-1]["step"]
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == [f"step-{last:06d}"]


def test_both_stages_one_after_the_other(arguments, base, tmp_path):
    assert run(arguments(f"--output_dir {tmp_path / 'one'}", stage="extractor")) == 0
    extractor = f"--pretrained_extractor_name_or_path {tmp_path / 'one'}"
    align = f"--align_weight 0.5 --align_block 1 --align_model {base / 'image_encoder_large'}"
    assert run(arguments(f"{extractor} {align}", stage="generator")) == 0
    assert {"loss", "flow", "align"} <= set(rows(tmp_path / "run")[0])
    first, second = (
        load_file(tmp_path / part / "transformer_vton" / "diffusion_pytorch_model.safetensors")
        for part in ("one", "run")
    )
    assert second and all(torch.equal(first[name], weight) for name, weight in second.items())  # frozen in stage 2


def test_lora_on_trained_weights(arguments, tmp_path):
    run(arguments())
    start_from = f"--pretrained_model_name_or_path_sd3_tryoff {tmp_path / 'run'} --output_dir {tmp_path / 'lora'}"
    more = [a for a in arguments(f"{start_from} --lora_rank 2", stage="generator") if a != "--from_scratch"]
    assert run(more) == 0
    layers = load_file(tmp_path / "lora" / "transformer_lora" / "pytorch_lora_weights.safetensors")
    saved = load_file(tmp_path / "lora" / "checkpoints" / "step-000008" / "model.safetensors")
    assert {name for name in saved if "lora_" not in name} <= {f"{part}.pos_embed.pos_embed" for part in PARTS}
    run([*more, "--max_train_steps", "10", "--resume_from_checkpoint", "latest"])
    assert [row["step"] for row in rows(tmp_path / "lora") if "loss" in row] == list(range(1, 11))
    assert layers and not (tmp_path / "lora" / "transformer").exists()


def test_a_corrupt_picture_is_skipped_and_named(arguments, base, tmp_path, caplog):
    broken = save_tiny_dresscode(tmp_path / "broken")
    (broken / "dresses" / "images" / "020001_0.jpg").write_bytes(b"no picture")
    assert run(arguments(f"--dataset_root {broken}")) == 0
    assert any("020001_0.jpg" in message for message in caplog.messages)


@pytest.mark.parametrize("error", [OSError("broken pipe"), TypeError(), RecursionError("too deep")])
def test_an_item_that_fails_in_any_way_is_skipped_and_named(data, monkeypatch, caplog, error):
    pairs = PairDataset(open_split("dresscode", data, "train", size=(48, 64)))
    read = pairs.read

    def fail(position: int):
        if position != 3:
            raise error
        return read(position)

    monkeypatch.setattr(pairs, "read", fail)
    assert [item.key for item in pairs[[2, 3]].items] == 2 * [pairs.dataset.items[3].key]
    assert any(pairs.dataset.items[2].key in message for message in caplog.messages)
    monkeypatch.setattr(pairs, "read", lambda position: fail(0))
    with pytest.raises(ValueError, match="20 items in a row can't be read"):
        pairs[[0]]


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_checkpoint(arguments, tmp_path):
    run(arguments("--max_train_steps 4"))
    with pytest.raises(ValueError, match=r"not finite.*step-000004.*learning_rate"):
        run(
            arguments("--max_train_steps 100 --learning_rate 1e30 --resume_from_checkpoint latest --max_grad_norm 1e30")
        )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--width 50", "multiple of"),
        ("--dataset_root nowhere", "nowhere"),
        ("--caption_file nowhere.json", "nowhere.json"),
        ("--mask_dir nowhere", "SegCloth.py"),
        ("--resume_from_checkpoint step-9", "no finished checkpoint"),
        ("--caption_dropout 2", "0 to 1"),
        ("--ema_decay 1", "below 1"),
        ("--align_weight 1 --align_model nowhere", "align_model"),
        ("--align_weight 1 --align_block 9 --align_model BASE/image_encoder_large", "blocks 1 to 2"),
        ("--lora_rank 2", "from_scratch"),
        ("--report_to wandb", "pip install wandb"),
        ("--pretrained_model_name_or_path no/where --image_encoder_large BASE --image_encoder_bigG BASE", "no/where"),
    ],
)
def test_mistakes_are_one_sentence(arguments, base, more, message):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        run(arguments(more.replace("BASE", str(base))))
    assert message in str(caught.value)
    assert command_line.explain(caught.value) is not None


def test_a_folder_with_a_run_is_not_overwritten(arguments):
    run(arguments("--max_train_steps 4 --validation_steps 0"))
    with pytest.raises(ValueError, match="resume_from_checkpoint latest"):
        run(arguments())


def test_help_is_quick():
    started = time.time()
    subprocess.run([sys.executable, "train.py", "--help"], cwd=ROOT, check=True, capture_output=True)
    assert time.time() - started < 1.5

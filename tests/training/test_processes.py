"""train.py on two processes: as torchrun starts them, on a machine without GPU."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from temu_vtoff.training.processes import trains_on_cpu
from tests.script_calls import ROOT
from tests.script_processes import environment_of, free_port, run, start
from tests.tiny_training import save_tiny_base, save_tiny_dresscode

SMALL = "--from_scratch --num_layers 2 --num_attention_heads 1 --width 48 --height 64 --mixed_precision no"
QUICK = "--max_train_steps 6 --checkpointing_steps 3 --validation_steps 3 --logging_steps 1 --lr_warmup_steps 2"
SPARE = "--num_inference_steps 2 --num_validation_items 4 --num_validation_images 0 --report_to none"
ALONE, TOGETHER = ["--train_batch_size", "4"], ["--train_batch_size", "2"]  # the same items per step
# Sums of float32 in another order, after six steps of a rate of 1e-4; the weights themselves are about 0.1.
TOLERANCE = {"atol": 2e-6, "rtol": 1e-4}


@pytest.fixture(scope="module")
def stage_arguments(tmp_path_factory):
    base = save_tiny_base(tmp_path_factory.mktemp("base"))
    data = save_tiny_dresscode(tmp_path_factory.mktemp("data") / "dresscode")

    def build(stage: str, folder: Path, *more: str) -> list[str]:
        """The arguments of a stage of try-off, or of try-on."""
        where = f"--pretrained_model_name_or_path {base} --dataset_root {data} --output_dir {folder}"
        what = f"--stage {stage} --caption_file {data / 'captions.json'}"
        what = "--task try_on" if stage == "try_on" else what
        return [*f"{what} {where} {SMALL} {QUICK} {SPARE}".split(), *more]

    return build


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """What was trained: the latest checkpoint's, not averaged."""
    newest = max((folder / "checkpoints").iterdir())
    return load_file(newest / "model.safetensors")


def losses(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def test_both_stages_on_two_processes_learn_what_one_learns_with_twice_the_batch(stage_arguments, tmp_path):
    for count, batch in ((1, ALONE), (2, TOGETHER)):
        first, second = tmp_path / f"extractor_{count}", tmp_path / f"generator_{count}"
        assert run("train", stage_arguments("extractor", first, *batch), processes=count) == 0
        extractor = ["--pretrained_extractor_name_or_path", str(tmp_path / "extractor_1")]
        assert run("train", stage_arguments("generator", second, *batch, *extractor), processes=count) == 0
        assert json.loads((second / "run.json").read_text())["processes"] == count
    for stage in ("extractor", "generator"):
        one, two = tmp_path / f"{stage}_1", tmp_path / f"{stage}_2"
        assert losses(two) == pytest.approx(losses(one), rel=1e-4) and len(losses(one)) == 6
        alone, together = weights(one), weights(two)
        assert alone.keys() == together.keys()
        torch.testing.assert_close(together, alone, **TOLERANCE)


@pytest.mark.parametrize(("stage", "before", "after"), [("joint", 2, 1), ("try_on", 1, 2)])
def test_a_run_resumes_on_another_number_of_processes(stage_arguments, tmp_path, stage, before, after):
    def train(name: str, processes: int, *more: str) -> None:
        batch = ALONE if processes == 1 else TOGETHER
        argv = stage_arguments(stage, tmp_path / name, *batch, "--lr_scheduler", "constant", *more)
        assert run("train", argv, processes=processes) == 0

    train("whole", 1)
    train("resumed", before, "--max_train_steps", "3")
    train("resumed", after, "--resume_from_checkpoint", "latest")
    assert losses(tmp_path / "resumed") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)
    assert len(losses(tmp_path / "whole")) == 6
    torch.testing.assert_close(weights(tmp_path / "resumed"), weights(tmp_path / "whole"), **TOLERANCE)


def test_sigterm_to_one_process_ends_both_with_a_checkpoint(stage_arguments, tmp_path):
    folder = tmp_path / "run"
    endless = ["--max_train_steps", "100000", "--checkpointing_steps", "100000", "--validation_steps", "0"]
    argv, port = stage_arguments("extractor", folder, *TOGETHER, *endless), free_port()
    both = [start("train", argv, environment_of(rank, processes=2, port=port)) for rank in (0, 1)]
    deadline = time.time() + 200
    while not (folder / "metrics.jsonl").is_file() and all(p.is_alive() for p in both) and time.time() < deadline:
        time.sleep(0.05)
    os.kill(both[1].pid, signal.SIGTERM)
    for process in both:
        process.join(timeout=120)
    assert [process.exitcode for process in both] == [130, 130]
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert [path.name for path in (folder / "checkpoints").iterdir()] == [f"step-{last:06d}"]


def test_plain_torchrun_without_a_gpu_trains_once_on_two_processes(stage_arguments, tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "train.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    argv = stage_arguments("extractor", tmp_path / "run", *TOGETHER, "--max_train_steps", "2")
    answer = subprocess.run([*launch, *argv], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["processes"] == 2


def test_accelerate_on_a_cpu_names_what_to_type(monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert trains_on_cpu()
    monkeypatch.setenv("MASTER_PORT", "29500")  # as `accelerate launch --cpu --num_processes 2` sets it, in one process
    with pytest.raises(ValueError, match=r"torchrun --nproc_per_node 2 train\.py"):
        trains_on_cpu()

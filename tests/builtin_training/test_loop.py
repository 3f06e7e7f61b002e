"""The training loop: exact resume, moving average, and what it refuses."""

import json
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from builtin_training import loop, part_flags
from temu_vtoff.training.run_folder import RunFolder

ROOT = Path(__file__).parent.parent.parent


def arguments(folder: Path, *flags: str) -> Namespace:
    parser = ArgumentParser()
    part_flags.add_arguments(parser, steps=8, batch_size=4, learning_rate=0.05)
    common = ["--dataset_root", "unused", "--output_dir", str(folder), "--lr_warmup_steps", "2", "--device", "cpu"]
    return parser.parse_args(
        [*common, "--logging_steps", "1", "--checkpointing_steps", "3", "--validation_steps", "4", *flags]
    )


def train(args: Namespace, stop_after: int | None = None) -> nn.Module:
    """Fits a line with dropout to 20 points; `stop_after` kills the run in that step."""
    torch.manual_seed(7)
    model = nn.Sequential(nn.Dropout(0.2), nn.Linear(3, 1))
    points = torch.randn(20, 3)

    def loss(model: nn.Module, step: loop.Step) -> dict[str, torch.Tensor]:
        if step.number == stop_after:
            raise KeyboardInterrupt
        x = points[step.items] + 0.1 * torch.randn(len(step.items), 3, generator=step.rng)
        return {"loss": (model(x) - x.sum(dim=1, keepdim=True)).float().square().mean()}

    return loop.train(
        model,
        loss=loss,
        validate=lambda model: {"weight": model[1].weight.mean().item()},
        num_items=len(points),
        args=args,
    )


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Those of the latest checkpoint, not averaged."""
    return load_file(RunFolder(folder).checkpoints()[-1] / "model.safetensors")


def test_an_interrupted_run_repeats_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = train(arguments(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(arguments(tmp_path / "cut"), stop_after=5)
    resumed = train(arguments(tmp_path / "cut", "--resume"))  # the old name of --resume_from_checkpoint latest
    assert log(tmp_path / "cut") == log(tmp_path / "whole")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_processes_share_out_each_batch_and_learn_what_one_learns(tmp_path: Path) -> None:
    flags = ["--steps", "30", "--mixed_precision", "no"]
    train_without_chance(arguments(tmp_path / "one", *flags))
    code = "from pathlib import Path; from tests.builtin_training import test_loop as t; "
    code += f"t.train_without_chance(t.arguments(Path({str(tmp_path / 'two')!r}), *{flags}))"
    script = tmp_path / "script.py"
    script.write_text(code)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    answer = subprocess.run(launch, cwd=ROOT, env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"})
    assert answer.returncode == 0
    alone, together = (last_weights(tmp_path / name) for name in ("one", "two"))
    assert together.keys() == alone.keys()
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)  # sums in another order
    assert together["model.weight"].abs().min() > 0.1
    steps = [row["step"] for row in log(tmp_path / "two")]
    assert steps == [row["step"] for row in log(tmp_path / "one")]  # one process writes the log


def train_without_chance(args: Namespace) -> nn.Module:
    """Fits a line to 20 points; nothing is drawn at random but the order of the points."""
    torch.manual_seed(7)
    model, points = nn.Linear(3, 1), torch.randn(20, 3)

    def loss(model: nn.Module, step: loop.Step) -> dict[str, torch.Tensor]:
        x = points[step.items]
        return {"loss": (model(x) - x.sum(dim=1, keepdim=True)).square().mean()}

    return loop.train(model, loss=loss, validate=lambda model: {}, num_items=len(points), args=args)


def test_it_learns_and_returns_the_moving_average(tmp_path: Path) -> None:
    model = train(arguments(tmp_path, "--steps", "200", "--ema_decay", "0.9"))
    assert torch.allclose(
        model[1].weight, torch.full((1, 3), 0.8), atol=0.1
    )  # the best with a fifth of the inputs dropped
    assert not torch.equal(last_weights(tmp_path)["model.1.weight"], model[1].weight)
    assert not model.training


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    train(arguments(tmp_path))
    with pytest.raises(ValueError, match="resume_from_checkpoint latest"):
        train(arguments(tmp_path))


def test_a_run_keeps_its_optimizer(tmp_path: Path) -> None:
    train(arguments(tmp_path))
    with pytest.raises(ValueError, match="optimizer adamw, not of muon"):
        train(arguments(tmp_path, "--resume", "--steps", "9", "--optimizer", "muon"))


@pytest.mark.parametrize("steps", ["5", "50"])  # fewer and more than are skipped before giving up
def test_a_loss_that_explodes_is_an_error(tmp_path: Path, steps: str) -> None:
    with pytest.raises(ValueError, match=r"not finite for (5|10) steps in a row"):
        loop.train(
            nn.Linear(1, 1),
            loss=lambda model, step: {"loss": model.weight.sum() * float("nan")},
            validate=lambda model: {},
            num_items=4,
            args=arguments(tmp_path, "--max_train_steps", steps),
        )
    assert RunFolder(tmp_path).checkpoints() == []


def test_processes_need_equal_parts_of_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 3)
    with pytest.raises(ValueError, match="give a multiple of the 3 processes"):
        train(arguments(tmp_path))

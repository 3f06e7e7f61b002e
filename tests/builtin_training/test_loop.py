"""The training loop: exact resume, moving average, and what it refuses."""

import json
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest
import torch
from torch import nn

from builtin_training import loop

ROOT = Path(__file__).parent.parent.parent


def arguments(folder: Path, *flags: str) -> Namespace:
    parser = ArgumentParser()
    loop.add_arguments(parser, steps=8, batch_size=4, learning_rate=0.05)
    common = ["--data_root", "unused", "--output_dir", str(folder), "--warmup_steps", "2", "--device", "cpu"]
    return parser.parse_args(
        [*common, "--log_steps", "1", "--checkpoint_steps", "3", "--validation_steps", "4", *flags]
    )


def train(args: Namespace, stop_after: int | None = None) -> nn.Module:
    """Fits a line with dropout to 20 points; `stop_after` kills the run in that step."""
    torch.manual_seed(7)
    model = nn.Sequential(nn.Dropout(0.2), nn.Linear(3, 1))
    points = torch.randn(20, 3)

    def loss(model: nn.Module, step: loop.Step) -> dict[str, torch.Tensor]:
        if step.number == stop_after:
            raise KeyboardInterrupt
        x = points[step.items] + 0.1 * torch.randn(len(step.items), 3, generator=step.generator)
        return {"loss": (model(x) - x.sum(dim=1, keepdim=True)).float().square().mean()}

    return loop.train(model, loss, lambda model: {"weight": model[1].weight.mean().item()}, len(points), args)


def log(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / loop.LOG).read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "minutes"} for row in rows]


def test_an_interrupted_run_repeats_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = train(arguments(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(arguments(tmp_path / "cut"), stop_after=5)
    resumed = train(arguments(tmp_path / "cut", "--resume"))
    assert log(tmp_path / "cut") == log(tmp_path / "whole")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_processes_share_out_each_batch_and_learn_what_one_learns(tmp_path: Path) -> None:
    flags = ["--steps", "30", "--mixed_precision", "no"]
    alone = train_without_chance(arguments(tmp_path / "one", *flags))
    code = "from pathlib import Path; from tests.builtin_training import test_loop as t; "
    code += f"t.train_without_chance(t.arguments(Path({str(tmp_path / 'two')!r}), *{flags}))"
    script = tmp_path / "script.py"
    script.write_text(code)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    answer = subprocess.run(launch, cwd=ROOT, env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"})
    assert answer.returncode == 0
    together = torch.load(tmp_path / "two" / loop.CHECKPOINT, weights_only=True)
    assert together["step"] == 30
    weights = together["average"]["module.weight"]
    assert torch.allclose(weights, alone.weight, atol=1e-5) and not torch.allclose(weights, torch.zeros(1, 3), atol=0.1)
    steps = [row["step"] for row in log(tmp_path / "two")]
    assert steps == [row["step"] for row in log(tmp_path / "one")]  # one process writes the log


def train_without_chance(args: Namespace) -> nn.Module:
    """Fits a line to 20 points; nothing is drawn at random but the order of the points."""
    torch.manual_seed(7)
    model, points = nn.Linear(3, 1), torch.randn(20, 3)

    def loss(model: nn.Module, step: loop.Step) -> dict[str, torch.Tensor]:
        x = points[step.items]
        return {"loss": (model(x) - x.sum(dim=1, keepdim=True)).square().mean()}

    return loop.train(model, loss, lambda model: {}, len(points), args)


def test_it_learns_and_returns_the_moving_average(tmp_path: Path) -> None:
    model = train(arguments(tmp_path, "--steps", "200", "--ema_decay", "0.9"))
    assert torch.allclose(
        model[1].weight, torch.full((1, 3), 0.8), atol=0.1
    )  # the best with a fifth of the inputs dropped
    last = torch.load(tmp_path / loop.CHECKPOINT, weights_only=True)["model"]
    assert not torch.equal(last["1.weight"], model[1].weight)
    assert not model.training


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    train(arguments(tmp_path))
    with pytest.raises(FileExistsError, match="--resume"):
        train(arguments(tmp_path))


def test_a_run_keeps_its_optimizer(tmp_path: Path) -> None:
    train(arguments(tmp_path))
    with pytest.raises(ValueError, match="--optimizer adamw"):
        train(arguments(tmp_path, "--resume", "--steps", "9", "--optimizer", "muon"))


def test_a_loss_that_explodes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="step 0 is nan"):
        loop.train(
            nn.Linear(1, 1),
            lambda model, step: {"loss": model.weight.sum() * float("nan")},
            lambda model: {},
            4,
            arguments(tmp_path),
        )

"""The training loop: exact resume, moving average, and what it refuses."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest
import torch
from torch import nn

from builtin_training import loop


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


def test_a_loss_that_explodes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="step 0 is nan"):
        loop.train(
            nn.Linear(1, 1),
            lambda model, step: {"loss": model.weight.sum() * float("nan")},
            lambda model: {},
            4,
            arguments(tmp_path),
        )

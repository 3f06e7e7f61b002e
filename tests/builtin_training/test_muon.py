"""Muon, and the schedule that lets a run be lengthened."""

from collections.abc import Callable

import pytest
import torch

from builtin_training import muon
from builtin_training.muon import ADAMW_RMS, make_muon, orthogonalize
from builtin_training.settings import trapezoid
from temu_vtoff.training.objectives import GeneratorObjective
from temu_vtoff.training.optimization import learning_rate_at, make_optimizer
from temu_vtoff.training.settings import FlowSettings
from temu_vtoff.training.step_sampler import step_generator
from tests.tiny_transformers import make_batch, make_extractor, make_generator, rngs

SETTINGS = {"learning_rate": 1e-2, "betas": (0.9, 0.98), "weight_decay": 0.01, "epsilon": 1e-8}


def make_adamw(objective: torch.nn.Module, settings: dict) -> torch.optim.Optimizer:
    return make_optimizer(objective.parameters(), **settings)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("shape", [(3, 16, 40), (3, 40, 16), (3, 24, 24)])
def test_orthogonalized_matrices_keep_their_singular_vectors_and_lose_their_values(shape, bf16, monkeypatch):
    monkeypatch.setattr(muon, "multiplies_bf16", lambda device: bf16)
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=step_generator(0)), full_matrices=False)
    values = torch.linspace(0.05, 3, min(shape[1:]))
    turned = orthogonalize(left @ torch.diag(values) @ right)
    found = left.mT @ turned @ right.mT  # diagonal where the singular vectors are the same
    diagonal = found.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(found, torch.diag_embed(diagonal), atol=2e-2 if bf16 else 1e-4, rtol=0)
    assert diagonal.min() > 0.65 and found.max() < 1.25


def test_muon_steps_the_matrices_of_blocks_and_leaves_the_rest_to_adamw():
    def step(make: Callable) -> dict[str, torch.Tensor]:
        objective = GeneratorObjective(make_extractor(), make_generator(), FlowSettings())
        before = {name: p.detach().clone() for name, p in objective.named_parameters()}
        optimizer = make(objective, {**SETTINGS, "weight_decay": 0.0})
        objective(make_batch(), rngs(0))["loss"].backward()
        optimizer.step()
        return {name: p.detach() - before[name] for name, p in objective.named_parameters()}

    adamw, muon = step(make_adamw), step(make_muon)
    turned = {name for name in adamw if not torch.allclose(adamw[name], muon[name], atol=1e-6)}
    trained = {name for name, change in adamw.items() if change.any()}
    assert turned == {name for name in trained if "blocks." in name and ".norm" not in name and adamw[name].ndim == 2}
    for name in turned:
        assert 0.05e-2 < muon[name].square().mean().sqrt() < 0.25e-2, name  # about ADAMW_RMS of the learning rate
        assert torch.linalg.matrix_norm(muon[name], ord=2) < 1.25e-2 * ADAMW_RMS * max(muon[name].shape) ** 0.5, name


def test_muon_resumes_as_if_it_was_never_interrupted():
    def train(steps: int, objective: GeneratorObjective, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(steps):
            objective(make_batch(), rngs(0))["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()

    def make() -> tuple[GeneratorObjective, torch.optim.Optimizer]:
        objective = GeneratorObjective(make_extractor(), make_generator(), FlowSettings())
        return objective, make_muon(objective, SETTINGS)

    whole, optimizer = make()
    train(4, whole, optimizer)
    half, optimizer = make()
    train(2, half, optimizer)
    rest, resumed = make()
    rest.load_state_dict(half.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    train(2, rest, resumed)
    torch.testing.assert_close(dict(rest.named_parameters()), dict(whole.named_parameters()), rtol=0, atol=0)


def test_the_trapezoid_stays_at_the_peak_for_three_quarters():
    rates = [learning_rate_at(step, 1.0, 110, 10, trapezoid) for step in range(110)]
    assert rates[10:85] == [1.0] * 75 and rates[97] == pytest.approx(0.52) and 0 < rates[-1] < 0.05

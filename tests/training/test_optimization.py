"""Muon, learning rates and the average of weights."""

import pytest
import torch

from temu_vtoff.training import muon
from temu_vtoff.training.muon import ADAMW_RMS, orthogonalize
from temu_vtoff.training.objectives import FlowSettings, GeneratorObjective
from temu_vtoff.training.optimization import WeightAverage, learning_rate_at, make_optimizer
from temu_vtoff.training.step_sampler import step_generator
from tests.tiny_transformers import make_batch, make_extractor, make_generator


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


def test_muon_turns_the_matrices_of_blocks_and_leaves_the_rest_to_adamw():
    def step(optimizer: str) -> dict[str, torch.Tensor]:
        objective = GeneratorObjective(make_extractor(), make_generator(), FlowSettings())
        before = {name: p.detach().clone() for name, p in objective.named_parameters()}
        rate = {"learning_rate": 1e-2, "weight_decay": 0.0, "name": optimizer}
        optimizer = make_optimizer(objective.named_parameters(), **rate)
        objective(make_batch(), step_generator(0))["loss"].backward()
        optimizer.step()
        return {name: p.detach() - before[name] for name, p in objective.named_parameters()}

    adamw, muon = step("adamw"), step("muon")
    turned = {name for name in adamw if not torch.allclose(adamw[name], muon[name], atol=1e-6)}
    trained = {name for name, change in adamw.items() if change.any()}
    assert turned == {name for name in trained if "blocks." in name and ".norm" not in name and adamw[name].ndim == 2}
    for name in turned:
        assert 0.05e-2 < muon[name].square().mean().sqrt() < 0.25e-2, name  # about ADAMW_RMS of the learning rate
        assert torch.linalg.matrix_norm(muon[name], ord=2) < 1.25e-2 * ADAMW_RMS * max(muon[name].shape) ** 0.5, name


def test_muon_goes_on_from_its_state_as_if_never_interrupted():
    def train(steps: int, objective: GeneratorObjective, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(steps):
            objective(make_batch(), step_generator(0))["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()

    def make() -> tuple[GeneratorObjective, torch.optim.Optimizer]:
        objective = GeneratorObjective(make_extractor(), make_generator(), FlowSettings())
        return objective, make_optimizer(objective.named_parameters(), learning_rate=1e-2, name="muon")

    whole, optimizer = make()
    train(4, whole, optimizer)
    half, optimizer = make()
    train(2, half, optimizer)
    rest, resumed = make()
    rest.load_state_dict(half.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    train(2, rest, resumed)
    torch.testing.assert_close(dict(rest.named_parameters()), dict(whole.named_parameters()), rtol=0, atol=0)


def test_the_rate_rises_then_falls():
    rates = [learning_rate_at(step, 1.0, 110, warmup=10) for step in range(110)]
    assert rates[:2] == [0.1, 0.2] and rates[9] == rates[10] == 1.0
    assert rates[60] == pytest.approx(0.5) and 0 < rates[-1] < 1e-3
    assert sorted(rates[10:], reverse=True) == rates[10:]
    assert learning_rate_at(60, 1.0, 110, 10, "linear") == pytest.approx(0.5)
    assert learning_rate_at(109, 1.0, 110, 10, "constant") == 1.0
    trapezoid = [learning_rate_at(step, 1.0, 110, 10, "trapezoid") for step in range(110)]
    assert trapezoid[10:85] == [1.0] * 75 and trapezoid[97] == pytest.approx(0.52) and 0 < trapezoid[-1] < 0.05


def test_the_average_follows_its_recurrence_and_gives_the_weights_back():
    weight = torch.nn.Parameter(torch.zeros(1))
    average, expected = WeightAverage([weight], decay=0.9), 0.0
    for step in range(1, 40):
        weight.data.fill_(float(step))
        average.step()
        decay = 0.0 if step == 1 else min(step / (9 + step), 0.9)
        expected = decay * expected + (1 - decay) * step
    with average.applied():
        assert weight.item() == pytest.approx(expected, rel=1e-5)
    assert weight.item() == 39

    restored = WeightAverage([weight], decay=0.9)
    restored.load_state_dict(average.state_dict())
    with restored.applied():
        assert weight.item() == pytest.approx(expected, rel=1e-5)


def test_no_decay_is_no_average():
    weight = torch.nn.Parameter(torch.ones(1))
    average = WeightAverage([weight], decay=0.0)
    average.step()
    with average.applied():
        assert weight.item() == 1

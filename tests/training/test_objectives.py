"""Objectives: only what should train trains, and it can learn."""

from dataclasses import fields, replace

import pytest
import torch

from temu_vtoff.training.initialization import add_lora
from temu_vtoff.training.objectives import ExtractorObjective, GeneratorObjective
from temu_vtoff.training.optimization import make_optimizer
from temu_vtoff.training.person_denoiser import PersonDenoiser
from temu_vtoff.training.settings import FlowSettings
from tests.tiny_transformers import gradients, make_batch, make_extractor, make_generator, rngs


def test_both_transformers_train_together():
    extractor, generator = make_extractor(), make_generator()
    GeneratorObjective(extractor, generator, FlowSettings())(make_batch(), rngs(0))["loss"].backward()
    assert gradients(extractor) == {True}
    assert gradients(generator) == {True}


def test_a_frozen_extractor_stays_frozen_but_is_read():
    extractor, generator = make_extractor().requires_grad_(False), make_generator()
    objective = GeneratorObjective(extractor, generator, FlowSettings())
    loss = objective(make_batch(), rngs(0))["loss"]
    loss.backward()
    assert gradients(extractor) == {False} and gradients(generator) == {True}
    with torch.no_grad():
        extractor.pos_embed.proj.weight *= -1
    assert objective(make_batch(), rngs(0))["loss"] != loss


def test_lora_trains_its_adapters_alone():
    extractor, generator = make_extractor().requires_grad_(False), make_generator()
    add_lora(generator, rank=2)
    GeneratorObjective(extractor, generator, FlowSettings())(make_batch(), rngs(0))["loss"].backward()
    trained = {name for name, p in generator.named_parameters() if p.grad is not None}
    assert trained and all("lora_" in name for name in trained)
    assert all(p.requires_grad == ("lora_" in name) for name, p in generator.named_parameters())


def test_stage_one_trains_the_whole_denoiser():
    denoiser = make_extractor(PersonDenoiser)
    ExtractorObjective(denoiser, FlowSettings())(make_batch(), rngs(0))["loss"].backward()
    assert gradients(denoiser) == {True}


@pytest.mark.parametrize("stage", ["extractor", "joint"])
def test_one_batch_is_learned_by_heart(stage):
    if stage == "extractor":
        objective = ExtractorObjective(make_extractor(PersonDenoiser), FlowSettings())
    else:
        objective = GeneratorObjective(make_extractor(), make_generator(), FlowSettings())
    optimizer = make_optimizer(objective.parameters(), learning_rate=3e-3, weight_decay=0.0)
    batch, losses = make_batch(), []
    for _ in range(250):
        loss = objective(batch, rngs(0))["loss"]  # the same noise and times at every step
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] > 1.5
    assert losses[-1] < 0.02


def test_gradient_checkpointing_changes_no_gradient():
    def gradient(checkpointing: bool) -> torch.Tensor:
        extractor, generator = make_extractor(), make_generator()
        if checkpointing:
            extractor.enable_gradient_checkpointing()
            generator.enable_gradient_checkpointing()
        GeneratorObjective(extractor, generator, FlowSettings())(make_batch(), rngs(0))["loss"].backward()
        return torch.cat([p.grad.flatten() for p in [*extractor.parameters(), *generator.parameters()]])

    torch.testing.assert_close(gradient(True), gradient(False))


def test_two_halves_of_a_batch_have_the_mean_of_their_losses():
    objective, batch, both = (
        GeneratorObjective(make_extractor(), make_generator(), FlowSettings()),
        make_batch(),
        rngs(0),
    )
    whole = objective(batch, both)["loss"].item()
    parts = [
        replace(batch, **{f.name: x[i : i + 1] for f in fields(batch) if (x := getattr(batch, f.name)) is not None})
        for i in (0, 1)
    ]
    halves = [objective(part, rngs(0)[i : i + 1])["loss"].item() for i, part in enumerate(parts)]
    assert sum(halves) / 2 == pytest.approx(whole, rel=1e-5)

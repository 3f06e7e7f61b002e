"""Objectives: only what should train trains, and it can learn."""

from dataclasses import replace

import pytest
import torch

from temu_vtoff.training.correspondence import CorrespondenceLesson
from temu_vtoff.training.garment_regressor import GarmentRegressor
from temu_vtoff.training.initialization import add_lora
from temu_vtoff.training.objectives import ExtractorObjective, FlowSettings, GeneratorObjective
from temu_vtoff.training.optimization import make_optimizer
from temu_vtoff.training.person_denoiser import PersonDenoiser
from temu_vtoff.training.step_sampler import step_generator
from tests.tiny_transformers import C, H, W, gradients, make_batch, make_extractor, make_generator, same_places


def test_both_transformers_train_together():
    extractor, generator = make_extractor(), make_generator()
    GeneratorObjective(extractor, generator, FlowSettings())(make_batch(), step_generator(0))["loss"].backward()
    assert gradients(extractor) == {True}
    assert gradients(generator) == {True}


def test_a_frozen_extractor_stays_frozen_but_is_read():
    extractor, generator = make_extractor().requires_grad_(False), make_generator()
    objective = GeneratorObjective(extractor, generator, FlowSettings())
    loss = objective(make_batch(), step_generator(0))["loss"]
    loss.backward()
    assert gradients(extractor) == {False} and gradients(generator) == {True}
    with torch.no_grad():
        extractor.pos_embed.proj.weight *= -1
    assert objective(make_batch(), step_generator(0))["loss"] != loss


def test_the_regression_teaches_the_extractor_and_leaves_the_generator_alone():
    extractor, generator = make_extractor(), make_generator()
    regressor = GarmentRegressor(extractor, C)
    objective = GeneratorObjective(extractor, generator, FlowSettings(), regressor=regressor, regress_weight=0.5)
    losses = objective(make_batch(), step_generator(0))
    torch.testing.assert_close(losses["loss"], losses["flow"] + 0.5 * losses["regress"])
    losses["regress"].backward()
    assert gradients(regressor) == {True} and gradients(generator) == {False}
    assert gradients(extractor.transformer_blocks[0]) == {True}


def test_the_regression_expects_each_patch_of_the_garment_at_its_own_token():
    extractor, batch = make_extractor(), make_batch()
    regressor = GarmentRegressor(extractor, C)
    rows, columns = H // 2, W // 2
    foretold = batch.garment_latents.view(len(batch), C, rows, 2, columns, 2)
    foretold = foretold.permute(0, 2, 4, 1, 3, 5).reshape(len(batch), rows * columns, C * 4)  # tokens row by row
    regressor.foretell = torch.nn.Identity()
    losses = []
    for tokens in (foretold, foretold.flip(1)):
        extractor.transformer_blocks[-1](tokens, torch.zeros(len(batch), tokens.shape[-1]))
        losses.append(regressor.loss(batch.garment_latents).item())
    assert losses[0] == 0 and losses[1] > 1


def test_lora_trains_its_adapters_alone():
    extractor, generator = make_extractor().requires_grad_(False), make_generator()
    add_lora(generator, rank=2)
    GeneratorObjective(extractor, generator, FlowSettings())(make_batch(), step_generator(0))["loss"].backward()
    trained = {name for name, p in generator.named_parameters() if p.grad is not None}
    assert trained and all("lora_" in name for name in trained)
    assert all(p.requires_grad == ("lora_" in name) for name, p in generator.named_parameters())


def test_stage_one_trains_the_whole_denoiser():
    denoiser = make_extractor(PersonDenoiser)
    ExtractorObjective(denoiser, FlowSettings())(make_batch(), step_generator(0))["loss"].backward()
    assert gradients(denoiser) == {True}


@pytest.mark.parametrize(("stage", "optimizer"), [("extractor", "adamw"), ("joint", "adamw"), ("joint", "muon")])
def test_one_batch_is_learned_by_heart(stage, optimizer):
    if stage == "extractor":
        objective = ExtractorObjective(make_extractor(PersonDenoiser), FlowSettings())
    else:
        objective = GeneratorObjective(make_extractor(), make_generator(), FlowSettings())
    optimizer = make_optimizer(objective.named_parameters(), learning_rate=3e-3, weight_decay=0.0, name=optimizer)
    batch, losses = make_batch(), []
    for _ in range(250):
        loss = objective(batch, step_generator(0))["loss"]  # the same noise and times at every step
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
        lesson = CorrespondenceLesson(generator, [1, 2], reference_patch=2)
        objective = GeneratorObjective(
            extractor, generator, FlowSettings(), correspondence=lesson, correspondence_weight=1.0
        )
        objective(replace(make_batch(), places=same_places()), step_generator(0))["loss"].backward()
        return torch.cat([p.grad.flatten() for p in [*extractor.parameters(), *generator.parameters()]])

    torch.testing.assert_close(gradient(True), gradient(False))

"""The losses that the built-in transformers' objective adds: what they train, and that they can be learned."""

from dataclasses import fields

import pytest
import torch

from builtin_training.correspondence_loss import CorrespondenceLoss
from builtin_training.garment_regressor import GarmentRegressor
from builtin_training.muon import make_muon
from builtin_training.objective import BuiltinObjective
from builtin_training.pairs import EncodedDrawnBatch
from temu_vtoff.training.objectives import GeneratorObjective
from temu_vtoff.training.settings import FlowSettings
from tests.tiny_transformers import C, H, W, gradients, make_batch, make_extractor, make_generator, rngs, same_coords


def drawn_batch() -> EncodedDrawnBatch:
    batch = make_batch()
    return EncodedDrawnBatch(**{f.name: getattr(batch, f.name) for f in fields(batch)}, coords=same_coords())


def test_the_regression_teaches_the_extractor_and_leaves_the_generator_alone():
    extractor, generator = make_extractor(), make_generator()
    regressor = GarmentRegressor(extractor, C)
    base = GeneratorObjective(extractor, generator, FlowSettings())
    objective = BuiltinObjective(base, regressor=regressor, regress_weight=0.5)
    losses = objective(make_batch(), rngs(0))
    torch.testing.assert_close(losses["loss"], losses["flow"] + 0.5 * losses["regress"])
    losses["regress"].backward()
    assert gradients(regressor) == {True} and gradients(generator) == {False}
    assert gradients(extractor.transformer_blocks[0]) == {True}


def test_the_regression_expects_each_patch_of_the_garment_at_its_own_token():
    extractor, batch = make_extractor(), make_batch()
    regressor = GarmentRegressor(extractor, C)
    rows, columns = H // 2, W // 2
    predicted = batch.garment_latents.view(len(batch), C, rows, 2, columns, 2)
    predicted = predicted.permute(0, 2, 4, 1, 3, 5).reshape(len(batch), rows * columns, C * 4)  # tokens row by row
    regressor.head = torch.nn.Identity()
    losses = []
    for tokens in (predicted, predicted.flip(1)):
        extractor.transformer_blocks[-1](tokens, torch.zeros(len(batch), tokens.shape[-1]))
        losses.append(regressor.loss(batch.garment_latents).item())
    assert losses[0] == 0 and losses[1] > 1


def test_one_batch_is_learned_by_heart_with_muon():
    objective = GeneratorObjective(make_extractor(), make_generator(), FlowSettings())
    settings = {"learning_rate": 3e-3, "betas": (0.9, 0.98), "weight_decay": 0.0, "epsilon": 1e-8}
    optimizer = make_muon(objective, settings)
    batch, losses = make_batch(), []
    for _ in range(250):
        loss = objective(batch, rngs(0))["loss"]  # the same noise and times at every step
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] > 1.5
    assert losses[-1] < 0.02


def test_gradient_checkpointing_changes_no_gradient_of_the_supervised_attention():
    def gradient(checkpointing: bool) -> torch.Tensor:
        extractor, generator = make_extractor(), make_generator()
        if checkpointing:
            extractor.enable_gradient_checkpointing()
            generator.enable_gradient_checkpointing()
        correspondence = CorrespondenceLoss(generator, [1, 2], reference_patch=2)
        base = GeneratorObjective(extractor, generator, FlowSettings())
        objective = BuiltinObjective(base, correspondence=correspondence, correspondence_weight=1.0)
        objective(drawn_batch(), rngs(0))["loss"].backward()
        return torch.cat([p.grad.flatten() for p in [*extractor.parameters(), *generator.parameters()]])

    torch.testing.assert_close(gradient(True), gradient(False))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_correspondences_train_the_blocks_up_to_the_last_named_and_the_extractor(checkpointing):
    extractor, generator = make_extractor(), make_generator()
    if checkpointing:
        extractor.enable_gradient_checkpointing()
        generator.enable_gradient_checkpointing()
    correspondence = CorrespondenceLoss(generator, [1], reference_patch=2)
    base = GeneratorObjective(extractor, generator, FlowSettings())
    objective = BuiltinObjective(base, correspondence=correspondence, correspondence_weight=0.5).train()
    losses = objective(drawn_batch(), rngs(0))
    torch.testing.assert_close(losses["loss"], losses["flow"] + 0.5 * losses["correspondence"])
    losses["correspondence"].backward()
    named = dict(generator.named_parameters())
    assert named["transformer_blocks.0.attn.to_q.weight"].grad.abs().sum() > 0
    assert named["transformer_blocks.0.attn.to_v.weight"].grad is None
    assert gradients(generator.transformer_blocks[1]) == {False}
    assert extractor.transformer_blocks[0].attn.to_k.weight.grad.abs().sum() > 0

"""The supervision of attention: its values, and that it can be learned."""

import math
from dataclasses import fields

import pytest
import torch

from builtin_training.correspondence_loss import CorrespondenceLoss
from builtin_training.objective import BuiltinObjective
from builtin_training.pairs import EncodedDrawnBatch
from temu_vtoff.training.objectives import GeneratorObjective
from temu_vtoff.training.optimization import make_optimizer
from temu_vtoff.training.settings import FlowSettings
from tests.tiny_transformers import H, W, make_batch, make_extractor, make_generator, rngs, same_coords


def correspondence_loss(attended: torch.Tensor, coords: torch.Tensor) -> float:
    """Of attention (N, R) to the reference; in place of the generator's own."""
    correspondence = CorrespondenceLoss(make_generator(), [1], reference_patch=2)
    tokens = len(attended)
    query = attended.clamp(min=1e-12).log() * tokens**0.5  # against unit keys of this size
    correspondence._latest = {
        1: (query.expand(len(coords), 1, -1, -1), torch.eye(tokens).expand(len(coords), 1, -1, -1))
    }
    return correspondence.loss(coords, (H, W)).item()


def test_attention_to_the_true_coords_costs_nothing():
    tokens = (H // 2) * (W // 2)
    coords = same_coords(rows=H // 2, columns=W // 2)  # the middles of tokens
    assert correspondence_loss(torch.eye(tokens), coords) == pytest.approx(0, abs=1e-4)
    uniform = torch.full((tokens, tokens), 1 / tokens)
    assert correspondence_loss(uniform, coords) == pytest.approx(math.log(tokens), abs=1e-4)
    assert correspondence_loss(torch.eye(tokens).roll(1, 0), coords) > 10
    mirrored = coords.flip(2)
    columns = torch.arange(tokens).view(H // 2, W // 2).flip(1).flatten()
    assert correspondence_loss(torch.eye(tokens)[columns], mirrored) == pytest.approx(0, abs=1e-4)


def test_a_place_between_tokens_is_a_little_of_each_and_an_unseen_one_counts_nothing():
    tokens = (H // 2) * (W // 2)
    coords = same_coords(rows=H // 2, columns=W // 2)
    coords[..., 0] += 0.25 / (W // 2)  # a quarter of a token to the right
    inner = torch.zeros_like(coords) * math.nan
    inner[:, :, :-1] = coords[:, :, :-1]  # at the right edge there is no next token
    spread = 0.75 * torch.eye(tokens) + 0.25 * torch.eye(tokens).roll(1, 1)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert correspondence_loss(spread, inner) == pytest.approx(entropy, abs=1e-4)
    assert correspondence_loss(spread, torch.full_like(coords, math.nan)) == 0


def test_a_branch_without_reference_is_left_out():
    generator, batch = make_generator(), make_batch()
    correspondence = CorrespondenceLoss(generator, [1], reference_patch=2)
    times = torch.full((len(batch),), 500.0)
    generator(batch.garment_latents, batch.prompt_embeds, batch.pooled_prompt_embeds, times, reference=None)
    assert correspondence._latest == {}


def test_attention_learns_the_coords():
    extractor, generator = make_extractor(), make_generator()
    correspondence = CorrespondenceLoss(generator, [2], reference_patch=2)
    base = GeneratorObjective(extractor, generator, FlowSettings())
    objective = BuiltinObjective(base, correspondence=correspondence)
    optimizer = make_optimizer(objective.parameters(), learning_rate=1e-2, weight_decay=0.0)
    batch, losses = make_batch(), []
    batch = EncodedDrawnBatch(**{f.name: getattr(batch, f.name) for f in fields(batch)}, coords=same_coords())
    for step in range(120):
        loss = objective(batch, rngs(step))["correspondence"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(12), rel=0.1) and losses[-1] < 1.6  # at best 1.1: all are between tokens

"""The lesson for attention: what it costs, whom it teaches, and that it is learned."""

import math
from dataclasses import replace

import pytest
import torch

from temu_vtoff.training.correspondence import CorrespondenceLesson
from temu_vtoff.training.objectives import FlowSettings, GeneratorObjective
from temu_vtoff.training.optimization import make_optimizer
from temu_vtoff.training.step_sampler import step_generator
from tests.tiny_transformers import H, W, gradients, make_batch, make_extractor, make_generator, same_places


def correspondence_loss(attended: torch.Tensor, places: torch.Tensor) -> float:
    """Of attention (N, R) to the reference; the lesson's own is replaced by it."""
    lesson = CorrespondenceLesson(make_generator(), [1], reference_patch=2)
    tokens = len(attended)
    query = attended.clamp(min=1e-12).log() * tokens**0.5  # against unit keys of this size
    lesson._latest = {1: (query.expand(len(places), 1, -1, -1), torch.eye(tokens).expand(len(places), 1, -1, -1))}
    return lesson.loss(places, (H, W)).item()


def test_attention_to_the_true_places_costs_nothing():
    tokens = (H // 2) * (W // 2)
    places = same_places(rows=H // 2, columns=W // 2)  # the middles of tokens
    assert correspondence_loss(torch.eye(tokens), places) == pytest.approx(0, abs=1e-4)
    uniform = torch.full((tokens, tokens), 1 / tokens)
    assert correspondence_loss(uniform, places) == pytest.approx(math.log(tokens), abs=1e-4)
    assert correspondence_loss(torch.eye(tokens).roll(1, 0), places) > 10
    mirrored = places.flip(2)
    columns = torch.arange(tokens).view(H // 2, W // 2).flip(1).flatten()
    assert correspondence_loss(torch.eye(tokens)[columns], mirrored) == pytest.approx(0, abs=1e-4)


def test_a_place_between_tokens_is_a_little_of_each_and_an_unseen_one_counts_nothing():
    tokens = (H // 2) * (W // 2)
    places = same_places(rows=H // 2, columns=W // 2)
    places[..., 0] += 0.25 / (W // 2)  # a quarter of a token to the right
    inner = torch.zeros_like(places) * math.nan
    inner[:, :, :-1] = places[:, :, :-1]  # at the right edge there is no next token
    spread = 0.75 * torch.eye(tokens) + 0.25 * torch.eye(tokens).roll(1, 1)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert correspondence_loss(spread, inner) == pytest.approx(entropy, abs=1e-4)
    assert correspondence_loss(spread, torch.full_like(places, math.nan)) == 0


def test_a_branch_without_reference_leaves_the_lesson_alone():
    generator, batch = make_generator(), make_batch()
    lesson = CorrespondenceLesson(generator, [1], reference_patch=2)
    times = torch.full((len(batch),), 500.0)
    generator(batch.garment_latents, batch.prompt_embeds, batch.pooled_prompt_embeds, times, reference=None)
    assert lesson._latest == {}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_correspondences_teach_the_blocks_up_to_the_last_named_and_the_extractor(checkpointing):
    extractor, generator = make_extractor(), make_generator()
    if checkpointing:
        extractor.enable_gradient_checkpointing()
        generator.enable_gradient_checkpointing()
    lesson = CorrespondenceLesson(generator, [1], reference_patch=2)
    objective = GeneratorObjective(
        extractor, generator, FlowSettings(), correspondence=lesson, correspondence_weight=0.5
    ).train()
    losses = objective(replace(make_batch(), places=same_places()), step_generator(0))
    torch.testing.assert_close(losses["loss"], losses["flow"] + 0.5 * losses["correspondence"])
    losses["correspondence"].backward()
    named = dict(generator.named_parameters())
    assert named["transformer_blocks.0.attn.to_q.weight"].grad.abs().sum() > 0
    assert named["transformer_blocks.0.attn.to_v.weight"].grad is None
    assert gradients(generator.transformer_blocks[1]) == {False}
    assert extractor.transformer_blocks[0].attn.to_k.weight.grad.abs().sum() > 0


def test_attention_learns_the_places():
    extractor, generator = make_extractor(), make_generator()
    lesson = CorrespondenceLesson(generator, [2], reference_patch=2)
    objective = GeneratorObjective(extractor, generator, FlowSettings(), correspondence=lesson)
    optimizer = make_optimizer(objective.named_parameters(), learning_rate=1e-2, weight_decay=0.0)
    batch, losses = replace(make_batch(), places=same_places()), []
    for step in range(120):
        loss = objective(batch, step_generator(step))["correspondence"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(12), rel=0.1) and losses[-1] < 1.6  # at best 1.1: all are between tokens

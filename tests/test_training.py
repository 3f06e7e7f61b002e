"""The pieces of training: flow matching, data order, dropped conditions, objectives, averages, export, run folder."""

import errno
import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import SD3Transformer2DModel
from safetensors.torch import load_file
from torch.nn import functional as F

from temu_vtoff import FeatureExtractor, TryOffPipeline, TryOffTransformer
from temu_vtoff.builtin import resolve
from temu_vtoff.loading import load_components
from temu_vtoff.training import muon
from temu_vtoff.training.condition_dropout import ConditionDropout
from temu_vtoff.training.correspondence import CorrespondenceLesson
from temu_vtoff.training.encoding import EncodedBatch
from temu_vtoff.training.export import Exporter, export_model
from temu_vtoff.training.flow_matching import flow_matching_loss, interpolate, sample_times
from temu_vtoff.training.garment_regressor import GarmentRegressor
from temu_vtoff.training.initialization import (
    TransformerShape,
    add_lora,
    extractor_from_sd3,
    load_transformers,
    new_transformers,
)
from temu_vtoff.training.muon import ADAMW_RMS, orthogonalize
from temu_vtoff.training.objectives import ExtractorObjective, FlowSettings, GeneratorObjective
from temu_vtoff.training.optimization import WeightAverage, learning_rate_at, make_optimizer
from temu_vtoff.training.patches import position_table, with_smaller_patches
from temu_vtoff.training.person_denoiser import PersonDenoiser
from temu_vtoff.training.run_folder import RunFolder, write_folder
from temu_vtoff.training.step_sampler import StepSampler, step_generator
from tests.tiny_training import save_tiny_base

C, H, W, T, P = 4, 8, 6, 5, 16  # latent channels, latent size, text tokens, pooled width
SHAPE = {"sample_size": 8, "patch_size": 2, "num_layers": 2, "attention_head_dim": 8, "num_attention_heads": 2}
SHAPE |= {"pooled_projection_dim": P, "pos_embed_max_size": 8}


def make_extractor(kind: type[FeatureExtractor] = FeatureExtractor) -> FeatureExtractor:
    torch.manual_seed(0)
    return kind(in_channels=2 * C + 1, **SHAPE)


def make_generator() -> TryOffTransformer:
    torch.manual_seed(1)
    return TryOffTransformer(in_channels=C, out_channels=C, joint_attention_dim=12, caption_projection_dim=16, **SHAPE)


def make_batch(count: int = 2) -> EncodedBatch:
    g = step_generator(5)
    randn = lambda *shape: torch.randn(count, *shape, generator=g)
    return EncodedBatch(
        person_mean=randn(C, H, W),
        person_std=randn(C, H, W).abs() * 0.01,
        masked_mean=randn(C, H, W),
        masked_std=randn(C, H, W).abs() * 0.01,
        mask=(randn(1, H, W) > 0).float(),
        garment_latents=randn(C, H, W),
        image_embeds=randn(P),
        prompt_embeds=randn(T, 12),
        pooled_prompt_embeds=randn(P),
    )


# Flow matching


def test_interpolation_runs_from_latents_to_noise_and_the_true_velocity_costs_nothing():
    latents, noise = torch.randn(2, 3, C, H, W)
    times = torch.tensor([0.0, 1.0, 0.25])
    noisy = interpolate(latents, noise, times)
    torch.testing.assert_close(noisy[0], latents[0])
    torch.testing.assert_close(noisy[1], noise[1])
    torch.testing.assert_close(noisy[2], 0.75 * latents[2] + 0.25 * noise[2])
    assert flow_matching_loss(noise - latents, latents, noise, times).tolist() == [0, 0, 0]
    torch.testing.assert_close(flow_matching_loss(noise - latents + 2, latents, noise, times), torch.full((3,), 4.0))


@pytest.mark.parametrize("scheme", ["logit_normal", "uniform", "mode"])
def test_times_are_drawn_from_the_generator_and_moved_towards_noise_by_the_shift(scheme):
    plain = sample_times(1000, step_generator(0), scheme)
    shifted = sample_times(1000, step_generator(0), scheme, shift=2.0)
    assert plain.min() >= 0 and plain.max() <= 1
    torch.testing.assert_close(shifted, 2 * plain / (1 + plain))  # the sampler's formula
    assert plain.mean() == pytest.approx(0.5, abs=0.04)


def test_logit_normal_has_its_median_at_the_sigmoid_of_its_mean():
    times = sample_times(4001, step_generator(0), "logit_normal", logit_mean=1.0, logit_std=0.5)
    assert times.median() == pytest.approx(torch.tensor(1.0).sigmoid().item(), abs=0.01)


# Data order


def test_every_epoch_sees_every_item_once_in_another_order():
    batches = list(StepSampler(num_items=12, batch_size=4, start=0, stop=6, seed=3))
    first, second = (list(itertools.chain(*part)) for part in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_a_resumed_sampler_goes_on_as_the_uninterrupted_one():
    whole = list(StepSampler(num_items=10, batch_size=4, start=0, stop=9, seed=3))
    assert list(StepSampler(num_items=10, batch_size=4, start=5, stop=9, seed=3)) == whole[5:]


def test_processes_share_out_one_stream():
    alone = list(StepSampler(num_items=10, batch_size=4, start=0, stop=5, seed=3))
    both = [list(StepSampler(10, 2, 0, 5, seed=3, rank=rank, num_processes=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*both, strict=True)] == alone


def test_neighbouring_steps_and_ranks_have_unrelated_noise():
    draws = [torch.randn(4, generator=step_generator(*where)) for where in [(0, 1, 0), (0, 0, 1), (1, 0, 0), (0, 1)]]
    assert all(not torch.allclose(a, b) for a, b in itertools.combinations(draws, 2))


# Dropped conditions


def test_dropout_rates_are_as_asked_and_everything_means_both():
    no_caption, no_image = ConditionDropout(everything=0.1, caption=0.25).draw(20000, step_generator(0))
    assert no_image.float().mean() == pytest.approx(0.1, abs=0.01)
    assert no_caption.float().mean() == pytest.approx(1 - 0.9 * 0.75, abs=0.01)
    assert no_caption[no_image].all()


def test_withheld_conditions_are_the_empty_prompt_and_zeros():
    batch, empty = make_batch(), (torch.full((1, T, 12), 7.0), torch.full((1, P), 8.0))
    out = batch.withhold(torch.tensor([True, False]), torch.tensor([False, True]), empty)
    assert (out.prompt_embeds[0] == 7).all() and (out.pooled_prompt_embeds[0] == 8).all()
    assert torch.equal(out.prompt_embeds[1], batch.prompt_embeds[1])
    assert torch.equal(out.image_embeds[0], batch.image_embeds[0]) and (out.image_embeds[1] == 0).all()
    assert torch.equal(out.person_mean, batch.person_mean)


def test_a_probability_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"1\.5"):
        ConditionDropout(caption=1.5)


# Objectives: only what should train trains, and it can learn


LAST_TEXT_QUERY = "transformer_blocks.1.attn.add_q_proj"  # SD3 has it, and nothing reads what it asks for


def gradients(module: torch.nn.Module) -> set[bool]:
    """Whether the parameters have gradients: {True}, {False}, or both."""
    named = [(name, p.grad) for name, p in module.named_parameters() if not name.startswith(LAST_TEXT_QUERY)]
    return {grad is not None and bool(grad.abs().sum() > 0) for _, grad in named}


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


def same_places(count: int = 2, rows: int = H, columns: int = W) -> torch.Tensor:
    """Every place of the product picture is at the same place of the photo."""
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
    return torch.stack([x, y], dim=-1).expand(count, -1, -1, -1).clone()


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


# Where weights start


def test_fresh_transformers_fit_the_frozen_models(tmp_path):
    components = load_components(save_tiny_base(tmp_path), given={"transformer": None, "transformer_vton": None})
    shape = TransformerShape(sample_size=8, num_layers=2, num_attention_heads=1, attention_head_dim=16)
    extractor, generator = new_transformers(shape, components, FeatureExtractor)
    assert extractor.config.in_channels == 9 and extractor.config.pooled_projection_dim == 16
    assert generator.config.joint_attention_dim == 32 and generator.config.pooled_projection_dim == 16
    reference = extractor(torch.randn(1, 9, 8, 6), torch.randn(1, 16))
    velocity = generator(torch.randn(1, 4, 8, 6), torch.randn(1, 5, 32), torch.randn(1, 16), torch.ones(1), reference)
    assert velocity.sample.shape == (1, 4, 8, 6)


def test_smaller_patches_see_and_tell_what_the_old_ones_would_of_an_enlarged_picture():
    old = make_generator()
    smaller = with_smaller_patches(old, 1)
    assert smaller.config.patch_size == 1 and old.config.patch_size == 2
    for generator in (old, smaller):
        generator.pos_embed.pos_embed.zero_()
    x, others = torch.randn(2, C, H, W), (torch.randn(2, T, 12), torch.randn(2, P), torch.full((2,), 500.0))
    enlarged = old(F.interpolate(x, scale_factor=2, mode="nearest"), *others).sample
    torch.testing.assert_close(smaller(x, *others).sample, F.avg_pool2d(enlarged, 2))


@pytest.mark.parametrize("kind", [FeatureExtractor, PersonDenoiser])
def test_an_extractor_sees_smaller_patches_likewise(kind):
    old = make_extractor(kind)
    smaller = with_smaller_patches(old, 1)
    for extractor in (old, smaller):
        extractor.pos_embed.pos_embed.zero_()
    person, pooled = torch.randn(1, 2 * C + 1, H, W), torch.randn(1, P)
    features, enlarged = smaller(person, pooled), old(F.interpolate(person, scale_factor=2, mode="nearest"), pooled)
    torch.testing.assert_close(list(features.keys), list(enlarged.keys))
    torch.testing.assert_close(list(features.values), list(enlarged.values))


def test_smaller_patches_stand_around_the_old_places():
    old = TryOffTransformer(**SHAPE | {"patch_size": 3, "sample_size": 12, "pos_embed_max_size": 6}, in_channels=C)
    torch.testing.assert_close(position_table(old, old), old.pos_embed.pos_embed)
    smaller = with_smaller_patches(old, 1)
    assert smaller.config.pos_embed_max_size == 12
    tables = [t.pos_embed.cropped_pos_embed(12, 6).unflatten(1, (12 // p, 6 // p)) for t, p in ((old, 3), (smaller, 1))]
    torch.testing.assert_close(tables[1][:, 1::3, 1::3], tables[0])  # the middle of each three is the old place


def test_patches_only_get_smaller_by_division():
    generator = make_generator()
    assert with_smaller_patches(generator, 2) is generator
    with pytest.raises(ValueError, match="--patch_size 4"):
        with_smaller_patches(generator, 4)


@pytest.mark.parametrize("kind", [FeatureExtractor, PersonDenoiser])
def test_sd3_becomes_an_extractor_that_does_not_see_the_new_channels_yet(tmp_path, kind):
    sd3 = SD3Transformer2DModel(
        in_channels=C, out_channels=C, joint_attention_dim=12, caption_projection_dim=16, **SHAPE
    )
    sd3.save_pretrained(tmp_path / "transformer")
    extractor = extractor_from_sd3(kind, tmp_path)
    latents, others, pooled = torch.randn(1, C, H, W), torch.randn(2, 1, C + 1, H, W), torch.randn(1, P)
    seen = [extractor(torch.cat([latents, other], dim=1), pooled) for other in others]
    torch.testing.assert_close(list(seen[0].keys), list(seen[1].keys))
    block = sd3.transformer_blocks[0]
    temb = sd3.time_text_embed(torch.zeros(1), pooled)
    expected = block.attn.to_k(block.norm1(sd3.pos_embed(latents), emb=temb)[0])
    torch.testing.assert_close(seen[0].keys[0], expected)


def test_a_whole_models_own_extractor_is_trained_further():
    extractor, generator = load_transformers(FeatureExtractor, "builtin")
    for model, folder in ((extractor, "transformer_vton"), (generator, "transformer")):
        shipped = load_file(Path(resolve("builtin", "tryoff"), folder, "diffusion_pytorch_model.safetensors"))
        for name, weight in model.state_dict().items():
            torch.testing.assert_close(weight, shipped[name].float(), msg=name)


def test_stage_one_on_a_whole_model_starts_from_the_generators_image_stream():
    denoiser, generator = load_transformers(PersonDenoiser, "builtin")
    torch.testing.assert_close(denoiser.proj_out.weight, generator.proj_out.weight)
    torch.testing.assert_close(
        denoiser.transformer_blocks[-1].attn.to_q.weight, generator.transformer_blocks[-1].attn.to_q.weight
    )


def test_stage_ones_weights_load_as_the_published_extractor_does(tmp_path):
    denoiser = make_extractor(PersonDenoiser)
    export_model(denoiser, tmp_path / "transformer_vton")
    extractor = FeatureExtractor.from_pretrained(tmp_path, subfolder="transformer_vton")
    person, pooled = torch.randn(1, 2 * C + 1, H, W), torch.randn(1, P)
    torch.testing.assert_close(list(extractor(person, pooled).keys), list(denoiser(person, pooled).keys))
    again = PersonDenoiser.from_pretrained(tmp_path, subfolder="transformer_vton")
    times = torch.full((1,), 500.0)
    torch.testing.assert_close(again.denoise(person, pooled, times), denoiser.denoise(person, pooled, times))


# Rates, averages, export, folder


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


def test_exported_weights_open_as_a_pipeline(tmp_path):
    base = save_tiny_base(tmp_path / "base")
    components = load_components(base, given={"transformer": None, "transformer_vton": None})
    shape = TransformerShape(sample_size=8, num_layers=2, num_attention_heads=1, attention_head_dim=16)
    extractor, generator = new_transformers(shape, components, FeatureExtractor)
    export = Exporter({"transformer": generator, "transformer_vton": extractor}, components["scheduler"], torch.float16)
    export(tmp_path / "run")
    pipe = TryOffPipeline.from_pretrained(
        base,
        tmp_path / "run",
        image_encoder_large=base,
        image_encoder_bigG=base,
        feature_extractor=components["feature_extractor"],
    )
    pipe.set_progress_bar_config(disable=True)
    picture, mask = torch.rand(1, 3, 64, 48), torch.zeros(1, 1, 64, 48)
    assert pipe(picture, mask, prompt="a shirt", num_inference_steps=2, output_type="pt").images.shape == (1, 3, 64, 48)


def test_lora_is_saved_as_the_pipeline_loads_it(tmp_path):
    base = save_tiny_base(tmp_path / "base")
    components = load_components(base, given={"transformer": None, "transformer_vton": None})
    shape = TransformerShape(sample_size=8, num_layers=2, num_attention_heads=1, attention_head_dim=16)
    extractor, generator = new_transformers(shape, components, FeatureExtractor)
    torch.nn.init.normal_(generator.proj_out.weight)
    torch.nn.init.normal_(generator.transformer_blocks[0].norm1.linear.weight)
    export_model(generator, tmp_path / "plain")
    inputs = (torch.randn(1, 4, 8, 6), torch.randn(1, 5, 32), torch.randn(1, 16), torch.ones(1))
    before = generator(*inputs).sample
    add_lora(generator, rank=2)
    for name, weight in generator.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    Exporter({"transformer": generator}, components["scheduler"])(tmp_path / "run")

    plain = TryOffTransformer.from_pretrained(tmp_path / "plain")
    pipe = TryOffPipeline(**components | {"transformer": plain, "transformer_vton": extractor})
    torch.testing.assert_close(pipe.transformer(*inputs).sample, before)
    pipe.load_lora_weights(tmp_path / "run" / "transformer_lora")
    torch.testing.assert_close(pipe.transformer(*inputs).sample, generator(*inputs).sample)
    assert not torch.allclose(pipe.transformer(*inputs).sample, before)


def save(run: RunFolder, step: int, best_step: int | None = None) -> Path:
    return run.save_checkpoint(
        step, lambda folder: (folder / "weights").write_text(str(step)), {"best_step": best_step}
    )


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path):
    run = RunFolder(tmp_path, keep_last=2)
    for step in (10, 20, 30, 40):
        save(run, step, best_step=10)
    assert [p.name for p in run.checkpoints()] == ["step-000010", "step-000030", "step-000040"]
    assert run.find_checkpoint("latest").name == "step-000040"
    assert run.find_checkpoint("step-000010").name == "step-000010"
    with pytest.raises(FileNotFoundError, match=r"step-000020.*step-000040"):
        run.find_checkpoint("step-000020")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("file write failed")])
def test_a_full_disk_costs_the_new_checkpoint_only(tmp_path, error):
    run = RunFolder(tmp_path)
    save(run, 10)

    def write(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise error

    with pytest.raises(OSError) as caught:
        run.save_checkpoint(20, write, {})
    assert caught.value.errno == errno.ENOSPC
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000010"]


def test_two_runs_never_share_a_folder(tmp_path):
    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    first.lock()
    with pytest.raises(FileExistsError, match="Another process"):
        second.lock()
    first.unlock()
    second.lock()


def test_a_folder_is_replaced_whole(tmp_path):
    for text in ("one", "two"):
        write_folder(tmp_path / "x", lambda folder, text=text: (folder / text).write_text(text))
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_rows_after_the_checkpoint_are_forgotten_and_half_rows_too(tmp_path):
    run = RunFolder(tmp_path)
    for step in (1, 2, 3):
        run.log(step=step, loss=0.5)
    with run.metrics_path.open("a") as file:
        file.write('{"step": 4, "lo')
    run.rewind_log(2)
    assert run.metrics_path.read_text().splitlines() == [
        '{"step": 1, "loss": 0.5}',
        '{"step": 2, "loss": 0.5}',
    ]

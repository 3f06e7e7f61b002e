"""Flow matching, and what is drawn for each step: times, noise, items, conditions to drop."""

import itertools

import pytest
import torch

from temu_vtoff.training.condition_dropout import draw_dropped
from temu_vtoff.training.flow_matching import flow_matching_loss, interpolate, sample_times
from temu_vtoff.training.settings import ConditionDropout, FlowSettings
from temu_vtoff.training.step_sampler import StepSampler, item_generators, step_generator
from tests.tiny_transformers import (
    C,
    H,
    P,
    T,
    W,
    make_batch,
)


def test_interpolation_runs_from_latents_to_noise_and_the_true_velocity_costs_nothing():
    latents, noise = torch.randn(2, 3, C, H, W)
    times = torch.tensor([0.0, 1.0, 0.25])
    noisy = interpolate(latents, noise, times)
    torch.testing.assert_close(noisy[0], latents[0])
    torch.testing.assert_close(noisy[1], noise[1])
    torch.testing.assert_close(noisy[2], 0.75 * latents[2] + 0.25 * noise[2])
    assert flow_matching_loss(noise - latents, latents, noise, times).tolist() == [0, 0, 0]
    torch.testing.assert_close(flow_matching_loss(noise - latents + 2, latents, noise, times), torch.full((3,), 4.0))


@pytest.mark.parametrize("sampling", ["logit_normal", "uniform", "mode"])
def test_times_are_drawn_from_the_generator_and_moved_towards_noise_by_the_shift(sampling):
    plain = sample_times(item_generators(0, 0, 1000), FlowSettings(sampling))
    shifted = sample_times(item_generators(0, 0, 1000), FlowSettings(sampling, shift=2.0))
    assert plain.min() >= 0 and plain.max() <= 1
    torch.testing.assert_close(shifted, 2 * plain / (1 + plain))  # the sampler's formula
    assert plain.mean() == pytest.approx(0.5, abs=0.04)


def test_logit_normal_has_its_median_at_the_sigmoid_of_its_mean():
    times = sample_times(item_generators(0, 0, 4001), FlowSettings(logit_mean=1.0, logit_std=0.5))
    assert times.median() == pytest.approx(torch.tensor(1.0).sigmoid().item(), abs=0.01)


def test_every_epoch_sees_every_item_once_in_another_order():
    batches = list(StepSampler(num_items=12, batch_size=4, start=0, stop=6, seed=3))
    first, second = (list(itertools.chain(*part)) for part in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_a_resumed_sampler_continues_as_the_uninterrupted_one():
    whole = list(StepSampler(num_items=10, batch_size=4, start=0, stop=9, seed=3))
    assert list(StepSampler(num_items=10, batch_size=4, start=5, stop=9, seed=3)) == whole[5:]


def test_processes_share_out_one_stream():
    alone = list(StepSampler(num_items=10, batch_size=4, start=0, stop=5, seed=3))
    both = [list(StepSampler(10, 2, 0, 5, seed=3, rank=rank, num_processes=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*both, strict=True)] == alone


def test_neighbouring_steps_and_ranks_have_unrelated_noise():
    draws = [torch.randn(4, generator=step_generator(*where)) for where in [(0, 1, 0), (0, 0, 1), (1, 0, 0), (0, 1)]]
    assert all(not torch.allclose(a, b) for a, b in itertools.combinations(draws, 2))


def test_dropout_rates_are_as_asked_and_everything_means_both():
    no_caption, no_image = draw_dropped(ConditionDropout(0.1, 0.25), item_generators(0, 0, 20000))
    assert no_image.float().mean() == pytest.approx(0.1, abs=0.01)
    assert no_caption.float().mean() == pytest.approx(1 - 0.9 * 0.75, abs=0.01)
    assert no_caption[no_image].all()


def test_dropped_conditions_are_the_empty_prompt_and_zeros():
    batch, empty = make_batch(), (torch.full((1, T, 12), 7.0), torch.full((1, P), 8.0))
    out = batch.drop_conditions(torch.tensor([True, False]), torch.tensor([False, True]), empty)
    assert (out.prompt_embeds[0] == 7).all() and (out.pooled_prompt_embeds[0] == 8).all()
    assert torch.equal(out.prompt_embeds[1], batch.prompt_embeds[1])
    assert torch.equal(out.image_embeds[0], batch.image_embeds[0]) and (out.image_embeds[1] == 0).all()
    assert torch.equal(out.person_mean, batch.person_mean)


def test_an_items_noise_depends_on_its_place_in_the_stream_alone():
    sampler = StepSampler(10, 2, 0, 5, seed=3, rank=1, num_processes=2)
    alone = [rng.initial_seed() for rng in item_generators(3, 0, 20)]
    ours = [rng.initial_seed() for step in range(5) for rng in item_generators(3, sampler.first_position(step), 2)]
    assert ours == [seed for step in range(5) for seed in alone[4 * step + 2 : 4 * step + 4]]

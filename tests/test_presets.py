"""Presets: no preset, offload mode or batch size changes the pictures beyond what it states."""

from functools import partial

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from PIL import Image

from benchmarks import reference
from benchmarks.measuring import Stages
from drawn_people import draw_person
from temu_vtoff import TryOffPipeline
from temu_vtoff.hardware.acceleration import speed_up
from temu_vtoff.models.block_cache import FirstBlockCache
from temu_vtoff.segmentation.masks import CATEGORY_LABELS
from temu_vtoff.tryoff.presets import PRESETS, Preset, choose_preset

# Mean absolute difference from the plain computation's picture, in [0, 1].
TOLERANCE = {"exact": 1e-3, "fast": 0.02, "turbo": 0.03}
STAGES = {"all": ("extract_reference", "denoise")}


def load() -> TryOffPipeline:
    """The built-in model, guided as the published one."""
    pipe = TryOffPipeline.from_pretrained("builtin", negative_reference=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def product(pipe: TryOffPipeline, batch: int = 1, **options) -> torch.Tensor:
    """(B, 3, H, W): the products of one drawn person, all by the same noise."""
    person = draw_person(901, "upper_body")
    worn = Image.fromarray(np.isin(np.asarray(person.label_map), CATEGORY_LABELS["upper_body"]).astype(np.uint8) * 255)
    caption = person.garments["upper_body"].caption
    generator = [torch.Generator().manual_seed(0) for _ in range(batch)]
    return pipe(
        [person.photo] * batch, [worn] * batch, prompt=caption, generator=generator, output_type="pt", **options
    ).images


@pytest.fixture(scope="module")
def plain() -> torch.Tensor:
    """The product by the plain statement of the published computation."""
    pipe = load()
    with Stages(pipe, STAGES, torch.device("cpu")) as stages:
        product(pipe, num_inference_steps=1)
    person, embeds, _ = stages.arguments["extract_reference"]
    latents, prompt, pooled, *_ = stages.arguments["denoise"]
    generator, extractor = (reference.stock(model) for model in (pipe.transformer, pipe.transformer_vton))
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(pipe.scheduler.config)
    with torch.no_grad():
        both = torch.cat([torch.zeros_like(embeds), embeds])
        found = reference.extract(extractor, torch.cat([person, person]), both)
        latents = reference.denoise(generator, scheduler, latents, prompt, pooled, found, 28, 2.0)
        return pipe.image_processor.postprocess(pipe.decode_latents(latents), output_type="pt")


@pytest.mark.parametrize("offload", ["none", "model"])
@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_offload_mode_or_batch_size_changes_the_picture_beyond_its_tolerance(plain, preset, offload):
    pipe = load()
    if offload == "model":  # on the CPU: no memory is moved, but the hooks run as on a GPU
        pipe.enable_model_cpu_offload(device="cpu")
    speed_up(pipe)
    one, two = product(pipe, preset=preset), product(pipe, batch=2, preset=preset)
    assert (one - plain).abs().mean() < TOLERANCE[preset]
    torch.testing.assert_close(two, one.expand_as(two), atol=1e-3, rtol=0)
    if preset == "exact":
        torch.testing.assert_close(one, plain, atol=1e-3, rtol=0)


def test_sequential_offloading_takes_the_weights_of_every_model(golden_pipeline):
    """No more can be tried on the CPU: accelerate gives weights back on a device of another kind alone."""
    golden_pipeline.enable_sequential_cpu_offload(device="cpu")
    models = [part for part in golden_pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert len(models) == 5 and all(weight.is_meta for model in models for weight in model.parameters())


def test_faster_presets_evaluate_less():
    """Counted in blocks: a guided step runs both branches, a cached one the first block alone."""
    pipe = load()
    counts = {}

    def count(name: str, block: torch.nn.Module, args: tuple, output: object) -> None:
        counts[name] += len(args[0])

    for name in PRESETS:
        counts[name] = 0
        hooks = [block.register_forward_hook(partial(count, name)) for block in blocks(pipe)]
        product(pipe, preset=name)
        for hook in hooks:
            hook.remove()
    assert counts["exact"] == 2 * 28 * len(blocks(pipe))
    assert counts["fast"] <= counts["exact"] / 2 and counts["turbo"] < counts["fast"]


def blocks(pipe: TryOffPipeline) -> torch.nn.ModuleList:
    return pipe.transformer.transformer_blocks


def test_guidance_acts_within_its_window(golden_inputs, golden_pipeline):
    options = golden_inputs | {"num_inference_steps": 4, "output_type": "latent"}

    def sample(window: tuple[float, float], scale: float = 2.0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        preset = Preset(guidance_window=window)
        return golden_pipeline(**options, preset=preset, guidance_scale=scale, generator=generator).images

    torch.testing.assert_close(sample((0, 0)), sample((0, 1), scale=1.0), atol=1e-5, rtol=0)
    assert not torch.allclose(sample((0, 0.5)), sample((0, 1)), atol=1e-4)
    assert not torch.allclose(sample((0, 0.5)), sample((0, 0)), atol=1e-4)


def test_solvers_meet_at_many_steps():
    """Both integrate the same flow: the finer the steps, the closer they are."""
    pipe = load()

    def distance(steps: int) -> float:
        made = [product(pipe, preset=Preset(steps=steps, multistep=multistep)) for multistep in (False, True)]
        return float((made[0] - made[1]).abs().mean())

    assert distance(40) < 0.5 * distance(8)
    assert isinstance(Preset(multistep=True).scheduler(pipe.scheduler), UniPCMultistepScheduler)
    assert Preset().scheduler(pipe.scheduler) is pipe.scheduler


def test_the_cache_spares_blocks_only_while_the_first_one_stands_still():
    cache = FirstBlockCache(threshold=0.1)
    first = torch.ones(2, 3, 4)
    assert not cache.holds(first)
    assert cache.holds(1.05 * first) and cache.holds(0.95 * first)
    one_moved = torch.stack([first[0], 2 * first[1]])
    assert not cache.holds(one_moved)  # the most changed item counts
    assert cache.holds(one_moved) and cache.hits == 3
    assert not cache.holds(first[:1])  # another batch: guidance ended


@pytest.mark.parametrize("negative_reference", [True, False])
def test_a_cache_that_never_holds_changes_nothing(golden_inputs, golden_pipeline, negative_reference):
    golden_pipeline.register_to_config(negative_reference=negative_reference)
    options = golden_inputs | {"num_inference_steps": 4, "output_type": "latent"}
    exact, never, always = (
        golden_pipeline(**options, preset=preset, generator=torch.Generator().manual_seed(0)).images
        for preset in (Preset(), Preset(cache_threshold=1e-9), Preset(cache_threshold=1e9))
    )
    assert torch.equal(never, exact) and not torch.allclose(always, exact, atol=1e-4)


def test_presets_are_chosen_by_name():
    assert choose_preset("fast") is PRESETS["fast"] and choose_preset(Preset(steps=3)).steps == 3
    with pytest.raises(ValueError, match="no preset 'quick'; choose one of exact, fast, turbo"):
        choose_preset("quick")


def test_a_callback_may_change_the_pooled_caption(golden_inputs, golden_pipeline):
    """AdaLN's modulations are computed beforehand, and again when what they depend on is replaced."""
    options = golden_inputs | {"num_inference_steps": 2, "output_type": "latent"}

    def sample(change: float) -> torch.Tensor:
        def callback(pipe, step, timestep, tensors):
            return {"pooled_prompt_embeds": tensors["pooled_prompt_embeds"] + change}

        generator = torch.Generator().manual_seed(0)
        return golden_pipeline(**options, generator=generator, callback_on_step_end=callback).images

    unchanged = golden_pipeline(**options, generator=torch.Generator().manual_seed(0)).images
    torch.testing.assert_close(sample(0.0), unchanged, atol=1e-5, rtol=0)
    assert not torch.allclose(sample(1.0), unchanged, atol=1e-4)


def test_the_empty_caption_is_encoded_once():
    pipe = load()
    calls = []
    pipe.text_encoder_3.register_forward_hook(lambda *args: calls.append(args))
    for _ in range(3):
        product(pipe, num_inference_steps=1)
    assert len(calls) == 3 + 1
    pipe.to(torch.bfloat16)
    assert pipe.encode_empty_caption()[0].dtype == torch.bfloat16 and len(calls) == 5

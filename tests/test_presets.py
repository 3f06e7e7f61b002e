"""Presets: no preset, offload mode or batch size changes the pictures beyond what it states."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)

from benchmarks import reference
from drawn_people import draw_person
from temu_vtoff import TryOffPipeline
from temu_vtoff.hardware.acceleration import speed_up
from temu_vtoff.segmentation.labels import ATR
from temu_vtoff.segmentation.masks import mask_picture
from temu_vtoff.tryoff.presets import PRESETS, SOLVERS, Preset, choose_preset

# Mean absolute difference from the plain computation's picture, in [0, 1].
TOLERANCE = {"exact": 1e-3, "fast": 0.02, "turbo": 0.03}


SMALL = {"width": 96, "height": 128}  # half the built-in model's size, for what holds at any
PEOPLE = ((901, "upper_body"), (902, "lower_body"), (903, "dresses"))  # seeds and garments


def load() -> TryOffPipeline:
    """The built-in model, guided as the published one."""
    pipe = TryOffPipeline.from_pretrained("builtin", negative_reference=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def products(pipe: TryOffPipeline, *numbers: int, **options) -> torch.Tensor:
    """(B, 3, H, W): the products of some of `PEOPLE` in one batch, each by its own noise."""
    photos, masks, captions = [], [], []
    for seed, category in (PEOPLE[number] for number in numbers):
        person = draw_person(seed, category)
        photos.append(person.photo)
        masks.append(mask_picture(np.isin(np.asarray(person.label_map), ATR.of_category(category))))
        captions.append(person.garments[category].caption)
    generator = [torch.Generator().manual_seed(number) for number in numbers]
    return pipe(photos, masks, prompt=captions, generator=generator, output_type="pt", **options).images


@pytest.fixture(scope="module")
def plain() -> torch.Tensor:
    """The first person's product by the plain statement of the published computation."""
    pipe = load()
    latents, prompt, pooled, person, embeds = conditions_of(pipe)
    generator, extractor = (reference.stock(model) for model in (pipe.transformer, pipe.transformer_vton))
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(pipe.scheduler.config)
    with torch.no_grad():
        both = torch.cat([torch.zeros_like(embeds), embeds])
        found = reference.extract(extractor, torch.cat([person, person]), both)
        latents = reference.denoise(generator, scheduler, latents, prompt, pooled, found, 28, 2.0)
        return pipe.image_processor.postprocess(pipe.decode_latents(latents), output_type="pt")


def conditions_of(pipe: TryOffPipeline) -> tuple[torch.Tensor, ...]:
    """Noise, both branches' embeddings, extractor input and image embedding of the first person's call."""
    seen = {}
    hooks = [
        model.register_forward_pre_hook(
            lambda model, args, kwargs, name=name: seen.update({name: (args, kwargs)}), with_kwargs=True
        )
        for name, model in (("extractor", pipe.transformer_vton), ("generator", pipe.transformer))
    ]
    products(pipe, 0, num_inference_steps=1)
    for hook in hooks:
        hook.remove()
    (person, embeds), _ = seen["extractor"]
    called = seen["generator"][1]
    prompt, pooled = called["encoder_hidden_states"], called["pooled_projections"]
    return called["hidden_states"][:1], prompt, pooled, person[:1], embeds[1:]


@pytest.mark.parametrize("offload", ["none", "model"])
@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_or_offload_mode_changes_the_picture_beyond_its_tolerance(plain, preset, offload):
    pipe = load()
    if offload == "model":  # on the CPU: no memory is moved, but the hooks run as on a GPU
        pipe.enable_model_cpu_offload(device="cpu")
    speed_up(pipe)
    one = products(pipe, 0, preset=preset)
    assert (one - plain).abs().mean() < TOLERANCE[preset]
    if preset == "exact":
        torch.testing.assert_close(one, plain, atol=1e-3, rtol=0)


@pytest.mark.parametrize("negative_reference", [True, False])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_picture_does_not_depend_on_who_shares_its_batch(preset, negative_reference):
    """Different people, garments, captions and noises in one batch, and each of them alone."""
    pipe = load()
    pipe.register_to_config(negative_reference=negative_reference)
    speed_up(pipe)
    together = products(pipe, *range(len(PEOPLE)), preset=preset, **SMALL)
    for number in range(len(PEOPLE)):
        alone = products(pipe, number, preset=preset, **SMALL)
        torch.testing.assert_close(alone, together[number : number + 1], atol=1e-4, rtol=0)


def test_sequential_offloading_takes_the_weights_of_every_model(golden_pipeline):
    """No more can be tried on the CPU: accelerate gives weights back on a device of another kind alone."""
    golden_pipeline.enable_sequential_cpu_offload(device="cpu")
    models = [part for part in golden_pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert len(models) == 5 and all(weight.is_meta for model in models for weight in model.parameters())


def test_faster_presets_evaluate_less():
    """Counted in items of a block's batches: every step runs both branches."""
    pipe = load()
    counts = {}
    for name in PRESETS:
        counts[name] = 0

        def count(block, args, output, name=name):
            counts[name] += len(args[0])

        hook = pipe.transformer.transformer_blocks[-1].register_forward_hook(count)
        products(pipe, 0, preset=name, **SMALL)
        hook.remove()
    assert counts == {name: 2 * preset.steps for name, preset in PRESETS.items()}
    assert counts["turbo"] < counts["fast"] <= counts["exact"] / 2


def test_solvers_meet_at_many_steps():
    """Both integrate the same flow: the finer the steps, the closer they are."""
    pipe = load()

    def distance(steps: int) -> float:
        made = [products(pipe, 0, preset=Preset(steps=steps, solver=solver), **SMALL) for solver in SOLVERS]
        return float((made[0] - made[1]).abs().mean())

    assert distance(40) < 0.5 * distance(8)
    unipc = Preset(solver="unipc").scheduler(pipe.scheduler)
    assert isinstance(unipc, UniPCMultistepScheduler) and unipc.config.solver_order == 2
    assert Preset().scheduler(pipe.scheduler) is pipe.scheduler


@pytest.mark.parametrize("kind", [HeunDiscreteScheduler, DDIMScheduler])
def test_a_scheduler_of_another_kind_is_refused(golden_inputs, golden_pipeline, kind):
    golden_pipeline.scheduler = kind()
    with pytest.raises(ValueError, match=f"is a {kind.__name__}, which does not fit a flow model"):
        golden_pipeline(**golden_inputs, num_inference_steps=1)


def test_another_solver_of_the_flow_may_be_set(golden_inputs, golden_pipeline):
    options = golden_inputs | {"num_inference_steps": 4, "output_type": "latent"}
    by_preset = golden_pipeline(**options, preset="fast", generator=torch.Generator().manual_seed(0)).images
    golden_pipeline.scheduler = choose_preset("fast").scheduler(golden_pipeline.scheduler)
    for preset in ("exact", "fast"):
        by_own = golden_pipeline(**options, preset=preset, generator=torch.Generator().manual_seed(0)).images
        assert torch.equal(by_own, by_preset)


def test_presets_are_chosen_by_name():
    assert choose_preset("fast") is PRESETS["fast"] and choose_preset(Preset(steps=3)).steps == 3
    with pytest.raises(ValueError, match="preset is 'quick'; choose one of exact, fast, turbo"):
        choose_preset("quick")
    with pytest.raises(ValueError, match="solver is 'heun'; choose one of euler, unipc"):
        Preset(solver="heun")


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

"""The pipeline: equal to the published sampling, and what users rely on."""

import numpy as np
import pytest
import torch
from golden_checkpoint import GOLDEN
from PIL import Image

from temu_vtoff import TryOffPipeline


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def repeated(inputs: dict[str, torch.Tensor], count: int) -> dict[str, torch.Tensor]:
    return {name: x.repeat(count, *[1] * (x.ndim - 1)) for name, x in inputs.items() if name != "latents"}


@pytest.mark.parametrize("name, scale", [("guided", 2.0), ("unguided", 1.0)])
def test_sampling_is_the_published_one(golden, golden_inputs, golden_pipeline, name, scale):
    options = golden_inputs | {"num_inference_steps": 4, "guidance_scale": scale}
    latents = golden_pipeline(**options, output_type="latent", generator=seeded(0)[0]).images
    torch.testing.assert_close(latents, golden[f"pipeline.out.{name}.latents"], atol=1e-3, rtol=0)
    image = golden_pipeline(**options, output_type="pt", generator=seeded(0)[0]).images
    torch.testing.assert_close(image, golden[f"pipeline.out.{name}.image"], atol=1e-3, rtol=0)


def test_clip_sees_what_the_published_model_saw(golden, golden_inputs, golden_pipeline):
    embeds = golden_pipeline.encode_image(golden_inputs["image"])
    torch.testing.assert_close(embeds, golden["pipeline.mid.clip_image_embeds"], atol=1e-3, rtol=0)


def test_one_config_value_scales_the_clip_input_correctly(golden_inputs, golden_pipeline, tmp_path):
    seen = []
    golden_pipeline.image_encoder_large.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    photo = golden_inputs["image"]
    golden_pipeline.encode_image(photo)
    golden_pipeline.register_to_config(rescale_clip_input_twice=False)
    golden_pipeline.encode_image(photo)
    twice, once = seen
    assert twice.min() > -1.80 and twice.max() < -1.46  # nearly black
    assert once[0, 0].std() / twice[0, 0].std() == pytest.approx(255, rel=0.01)
    golden_pipeline.save_pretrained(tmp_path)
    assert TryOffPipeline.from_pretrained(tmp_path).config.rescale_clip_input_twice is False


def test_one_config_value_leads_guidance_away_from_a_branch_without_reference(golden_inputs, golden_pipeline, tmp_path):
    options = golden_inputs | {"num_inference_steps": 1, "output_type": "latent"}  # linear in the velocity

    def sample(**changes) -> torch.Tensor:
        return golden_pipeline(**options | changes, generator=seeded(0)[0]).images

    published = sample(guidance_scale=3.0)
    golden_pipeline.register_to_config(negative_reference=False)
    read = []
    hook = golden_pipeline.transformer_vton.register_forward_hook(lambda m, args, out: read.append(out.batch_size))
    guided, positive = sample(guidance_scale=3.0), sample(guidance_scale=1.0)
    assert read == [1, 1]
    hook.remove()
    golden_pipeline.extract_reference = lambda *_: None
    empty = {name: golden_inputs[f"negative_{name}"] for name in ("prompt_embeds", "pooled_prompt_embeds")}
    negative = sample(guidance_scale=1.0, **empty)
    torch.testing.assert_close(guided, negative + 3 * (positive - negative), atol=1e-4, rtol=0)
    assert not torch.allclose(guided, published, atol=1e-3)
    golden_pipeline.save_pretrained(tmp_path)
    assert TryOffPipeline.from_pretrained(tmp_path).config.negative_reference is False


def test_masked_image_is_derived_from_photo_and_mask(golden_inputs, golden_pipeline):
    options = golden_inputs | {"num_inference_steps": 2, "output_type": "latent"}
    given = golden_pipeline(**options, generator=seeded(0)[0]).images
    del options["masked_image"]
    torch.testing.assert_close(golden_pipeline(**options, generator=seeded(0)[0]).images, given)


@pytest.mark.parametrize("negative_reference", [True, False])
def test_batched_and_one_by_one_agree(golden_inputs, golden_pipeline, negative_reference):
    golden_pipeline.register_to_config(negative_reference=negative_reference)
    options = {"num_inference_steps": 2, "output_type": "latent"}
    inputs = repeated(golden_inputs, 3)
    inputs["image"] = torch.rand(inputs["image"].shape, generator=seeded(7)[0])
    together = golden_pipeline(**inputs, **options, generator=seeded(5, 6, 7)).images
    for i, seed in enumerate((5, 6, 7)):
        one = {name: x[i : i + 1] for name, x in inputs.items()}
        alone = golden_pipeline(**one, **options, generator=seeded(seed)).images
        torch.testing.assert_close(alone, together[i : i + 1], atol=1e-5, rtol=0)


def test_pictures_per_photo_are_those_of_their_seeds(golden_inputs, golden_pipeline):
    options = {"num_inference_steps": 2, "output_type": "latent"}
    inputs = repeated(golden_inputs, 2)
    four = golden_pipeline(**inputs, **options, num_images_per_prompt=2, generator=seeded(1, 2, 3, 4)).images
    two = golden_pipeline(**inputs, **options, generator=seeded(2, 4)).images
    assert four.shape[0] == 4
    torch.testing.assert_close(four[1::2], two, atol=1e-5, rtol=0)


def test_all_randomness_comes_from_the_generator(golden_inputs, golden_pipeline):
    golden_pipeline.vae.quant_conv = None
    torch.nn.init.ones_(golden_pipeline.vae.encoder.conv_out.bias)  # a variance worth sampling
    options = repeated(golden_inputs, 1) | {"num_inference_steps": 1, "output_type": "latent"}
    state = torch.get_rng_state()
    first = golden_pipeline(**options, generator=seeded(3)[0]).images
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(golden_pipeline(**options, generator=seeded(3)[0]).images, first)
    assert not torch.allclose(golden_pipeline(**options, generator=seeded(4)[0]).images, first)


def test_output_types_and_pil_input(golden_inputs, golden_pipeline):
    options = {name: x for name, x in repeated(golden_inputs, 1).items() if "prompt" in name}
    photo = Image.fromarray(np.full((130, 90, 3), 200, np.uint8))
    mask = Image.new("L", photo.size)
    mask.paste(255, (20, 20, 60, 80))
    options |= {"image": photo, "mask": mask, "num_inference_steps": 1, "width": 64, "height": 96}
    made = {
        kind: golden_pipeline(**options, output_type=kind, generator=seeded(0)[0]).images
        for kind in ("pil", "pt", "np")
    }
    assert made["pil"][0].size == (64, 96) and made["pil"][0].mode == "RGB"
    assert made["pt"].shape == (1, 3, 96, 64) and made["np"].shape == (1, 96, 64, 3)
    assert made["pt"].min() >= 0 and made["pt"].max() <= 1
    np.testing.assert_allclose(np.asarray(made["pil"][0]) / 255, made["np"][0], atol=1 / 255)
    default = golden_pipeline(**options | {"width": None, "height": None}).images[0]
    assert default.size == (64, 96)  # about 3:4 of the 96 that sample_size 12 stands for, in multiples of 16
    assert golden_pipeline(**options, return_dict=False)[0][0].size == (64, 96)


def test_callback_sees_every_step_changes_latents_and_can_stop(golden_inputs, golden_pipeline):
    steps = []

    def stop_after_second(pipe, step, timestep, tensors):
        steps.append((step, float(timestep)))
        pipe._interrupt = step == 1
        return {"latents": torch.zeros_like(tensors["latents"])}

    latents = golden_pipeline(
        **golden_inputs, num_inference_steps=4, output_type="latent", callback_on_step_end=stop_after_second
    ).images
    assert [step for step, _ in steps] == [0, 1] and steps[0][1] == 1000
    assert latents.abs().max() == 0


def test_progress_bar_counts_the_steps(golden_inputs, golden_pipeline, capfd):
    golden_pipeline.set_progress_bar_config(disable=False)
    golden_pipeline(**golden_inputs, num_inference_steps=3, output_type="latent")
    assert "3/3" in capfd.readouterr().err


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(golden, golden_inputs, dtype):
    pipe = TryOffPipeline.from_pretrained(GOLDEN, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    assert {m.dtype for m in (pipe.transformer, pipe.transformer_vton, pipe.vae, pipe.image_encoder_large)} == {dtype}
    image = pipe(**golden_inputs, num_inference_steps=4, output_type="pt", generator=seeded(0)[0]).images
    torch.testing.assert_close(image, golden["pipeline.out.guided.image"], atol=0.05, rtol=0)
    assert pipe.to(torch.float32).transformer.dtype == torch.float32


def test_saved_pipeline_gives_the_same_pictures(golden_inputs, golden_pipeline, tmp_path):
    golden_pipeline.save_pretrained(tmp_path)
    loaded = TryOffPipeline.from_pretrained(tmp_path)
    options = golden_inputs | {"num_inference_steps": 2, "output_type": "latent"}
    expected = golden_pipeline(**options, generator=seeded(0)[0]).images
    assert torch.equal(loaded(**options, generator=seeded(0)[0]).images, expected)


def test_lora_changes_and_restores_the_output(golden_inputs, golden_pipeline, tmp_path):
    from peft import LoraConfig, get_peft_model_state_dict

    options = golden_inputs | {"num_inference_steps": 1, "output_type": "latent"}

    def sample():
        return golden_pipeline(**options, generator=seeded(0)[0]).images

    before = sample()
    generator = golden_pipeline.transformer
    generator.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_k"], init_lora_weights=False))
    golden_pipeline.save_lora_weights(tmp_path, transformer_lora_layers=get_peft_model_state_dict(generator))
    trained = sample()
    generator.delete_adapters("default")
    torch.testing.assert_close(sample(), before)

    with pytest.raises(ValueError, match=r"adapter_name is 'a\.b'; give a name without a dot"):
        golden_pipeline.load_lora_weights(tmp_path, adapter_name="a.b")
    golden_pipeline.load_lora_weights(tmp_path, adapter_name="style")
    torch.testing.assert_close(sample(), trained)
    assert not torch.allclose(trained, before, atol=1e-3)
    golden_pipeline.set_adapters("style", 0.0)
    torch.testing.assert_close(sample(), before)
    golden_pipeline.unload_lora_weights()
    torch.testing.assert_close(sample(), before)


def test_offloading_needs_every_component_in_its_order(golden_pipeline):
    """CPU offloading itself needs a GPU; its order must name every model, or it would stay behind."""
    named = set(golden_pipeline.model_cpu_offload_seq.split("->"))
    models = {name for name, part in golden_pipeline.components.items() if isinstance(part, torch.nn.Module)}
    assert models <= named <= set(golden_pipeline.components)


NO_EMBEDS = {"prompt_embeds": None, "pooled_prompt_embeds": None}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"width": 70}, "width 70 is not a multiple of 16; the nearest is 64"),
        ({"height": 0}, "height 0 .* nearest is 16"),
        ({"output_type": "jpg"}, "output_type is 'jpg'"),
        ({"num_inference_steps": 0}, "at least 1"),
        ({"generator": seeded(1, 2, 3)}, "1 pictures need 1 generators"),
        ({"latents": torch.zeros(1, 16, 2, 2)}, r"latents must be \(1, 16, 12, 8\)"),
        ({"mask": torch.ones(2, 1, 96, 64)}, "mask holds 2 for 1 photos"),
        ({"mask": torch.ones(1, 3, 96, 64)}, "mask must have 1 channels"),
        ({"image": -torch.ones(1, 3, 96, 64)}, r"image must lie in \[0, 1\]"),
        ({"prompt": ["a", "b"], **NO_EMBEDS}, "2 texts for 1 photos"),
        (NO_EMBEDS, "no text encoders: give prompt_embeds"),
        ({f"negative_{name}": None for name in NO_EMBEDS}, "no text encoders"),
        ({"pooled_prompt_embeds": None}, "prompt_embeds and pooled_prompt_embeds belong together"),
        ({"negative_prompt_embeds": None}, "negative_prompt_embeds and negative_pooled_prompt_embeds belong together"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan; give a finite number"),
        ({"guidance_scale": float("inf")}, "guidance_scale is inf"),
        ({"image": torch.full((1, 3, 96, 64), float("nan"))}, r"image must lie in \[0, 1\]"),
        ({"image": []}, "no photo: give at least one"),
        ({"image": torch.zeros(0, 3, 96, 64)}, "no photo"),
        ({"image": "photo.jpg"}, "PIL pictures, tensors or arrays, or lists of them; got str"),
        ({"mask": 5}, "got int"),
        ({"prompt": 3, **NO_EMBEDS}, "prompt is 3; give a text"),
        ({"prompt": [3], **NO_EMBEDS}, "prompt is 3; give a text"),
        ({"image_embeds": [1.0]}, "image_embeds is of type list; give a tensor"),
        ({"latents": 5}, "latents is 5; give a tensor"),
        ({"width": "64"}, "width is '64'; give a whole number"),
        ({"height": 96.5}, "height is 96.5; give a whole number"),
        ({"num_inference_steps": True}, "num_inference_steps is True; give a whole number"),
        ({"num_images_per_prompt": 1.5}, "num_images_per_prompt is 1.5; give a whole number"),
        ({"guidance_scale": "2"}, "guidance_scale is '2'; give a number"),
        ({"generator": 5}, "generator is 5; give a torch.Generator"),
        ({"generator": [5]}, "generator is 5; give a torch.Generator"),
        ({"preset": ["fast"]}, "choose one of exact"),
        ({"callback_on_step_end": 5}, "callback_on_step_end is 5; give a function"),
        ({"callback_on_step_end_tensor_inputs": "latents"}, "give a list of latents"),
        ({"joint_attention_kwargs": 5}, "joint_attention_kwargs is 5; give a dictionary"),
        ({"joint_attention_kwargs": {"scale": "a"}}, "scale is 'a'; give a number"),
    ],
)
def test_mistakes_are_told_in_one_sentence(golden_inputs, golden_pipeline, change, message):
    with pytest.raises(ValueError, match=message):
        golden_pipeline(**golden_inputs | {"num_inference_steps": 1} | change)


def test_without_image_encoders_embeddings_must_be_given(golden_inputs):
    pipe = TryOffPipeline.from_pretrained(GOLDEN, image_encoder_large=None, image_encoder_bigG=None)
    pipe.set_progress_bar_config(disable=True)
    assert pipe(**golden_inputs, num_inference_steps=1, output_type="latent").images.isfinite().all()
    with pytest.raises(ValueError, match="give image_embeds"):
        pipe(**golden_inputs | {"image_embeds": None}, num_inference_steps=1)


@pytest.fixture(scope="module")
def builtin():
    pipe = TryOffPipeline.from_pretrained("builtin")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_captions_are_encoded_as_sd3_does_with_t5_cut_to_clips_length(builtin):
    from diffusers import StableDiffusion3Pipeline

    names = ("scheduler", "vae", *(f"{part}{n}" for part in ("text_encoder", "tokenizer") for n in ("", "_2", "_3")))
    sd3 = StableDiffusion3Pipeline(transformer=builtin.transformer, **{n: builtin.components[n] for n in names})
    captions = ["a t-shirt with crew neckline, short sleeves", "", "a dress " * 100]
    length = builtin.tokenizer_max_length
    expected, _, expected_pooled, _ = sd3.encode_prompt(
        captions, None, None, do_classifier_free_guidance=False, max_sequence_length=length
    )
    embeds, pooled = builtin.encode_captions(captions)
    assert length <= 77 and embeds.shape[:2] == (3, 2 * length)
    assert torch.equal(embeds, expected) and torch.equal(pooled, expected_pooled)

    # The same, spelled out: both CLIPs' last hidden layer but one, padded with zeros, then T5.
    clip = []
    for tokenizer, encoder in (
        (builtin.tokenizer, builtin.text_encoder),
        (builtin.tokenizer_2, builtin.text_encoder_2),
    ):
        ids = tokenizer(
            captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        clip.append(encoder(ids, output_hidden_states=True).hidden_states[-2])
    ids = builtin.tokenizer_3(captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    t5 = builtin.text_encoder_3(ids.input_ids)[0]
    clip = torch.cat(clip, dim=-1)
    torch.testing.assert_close(embeds[:, :length, : clip.shape[-1]], clip)
    assert embeds[:, :length, clip.shape[-1] :].abs().max() == 0
    torch.testing.assert_close(embeds[:, length:], t5)


def test_prompts_and_their_embeddings_give_the_same(builtin):
    photo, mask = torch.rand(1, 3, 256, 192), torch.ones(1, 1, 256, 192)
    options = {"num_inference_steps": 1, "output_type": "latent"}
    by_text = builtin(photo, mask, prompt="a dress", **options, generator=seeded(0)[0]).images
    embeds, pooled = builtin.encode_captions(["a dress"])
    given = builtin(photo, mask, prompt_embeds=embeds, pooled_prompt_embeds=pooled, **options, generator=seeded(0)[0])
    torch.testing.assert_close(given.images, by_text)
    other = builtin(photo, mask, prompt="a t-shirt", **options, generator=seeded(0)[0]).images
    unset = builtin(photo, mask, **options, generator=seeded(0)[0]).images
    empty = builtin(photo, mask, prompt="", **options, generator=seeded(0)[0]).images
    assert torch.equal(unset, empty) and not torch.allclose(by_text, other)


def test_a_real_photograph_goes_through(builtin):
    """Nothing sensible comes out of the built-in model, which knows drawn people only; but a picture does."""
    from skimage.data import astronaut

    photo = Image.fromarray(astronaut())
    mask = Image.new("L", photo.size)
    mask.paste(255, (100, 300, 420, 512))
    product = builtin(photo, mask=mask, num_inference_steps=2).images[0]
    assert product.size == (192, 256) and np.asarray(product).std() > 1

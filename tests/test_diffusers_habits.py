"""What users of diffusers' pipelines do: saving, loading, offloading, LoRA, callbacks, precision, batches; each
compared with a plain run of the tiny pipeline."""

import json

import numpy as np
import pytest
import torch
from diffusers.callbacks import SD3CFGCutoffCallback
from diffusers.models.attention_processor import JointAttnProcessor2_0
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from temu_vtoff import FeatureExtractor, TryOffPipeline
from temu_vtoff.backends.adapters import load_loras
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.tryoff.outputs import NotFiniteError
from tests.tiny_pipeline import save_tiny_pipeline

HEIGHT, WIDTH, STEPS = 64, 48, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_pipeline(tmp_path_factory.mktemp("pipe"))


@pytest.fixture
def pipe(folder) -> TryOffPipeline:
    return load(folder)


def load(folder, **options) -> TryOffPipeline:
    pipe = TryOffPipeline.from_pretrained(folder, **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def photos(count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Different photos and masks."""
    noise = torch.Generator().manual_seed(9)
    mask = torch.zeros(count, 1, HEIGHT, WIDTH)
    for number in range(count):
        mask[number, :, 8 : 24 + 8 * number, 8:40] = 1
    return torch.rand(count, 3, HEIGHT, WIDTH, generator=noise), mask


def sample(pipe: TryOffPipeline, count: int = 1, **options) -> torch.Tensor:
    image, mask = photos(count)
    options = {"prompt": ["a dress", "a skirt", "a shirt"][:count], "num_inference_steps": STEPS} | options
    rngs = [torch.Generator().manual_seed(number) for number in range(count)]
    return pipe(image, mask, **{"generator": rngs, "output_type": "pt"} | options).images


def adapt(
    pipe: TryOffPipeline, name: str = "style", alpha: int = 4, component: str = "transformer"
) -> dict[str, torch.Tensor]:
    """Adds a random adapter to a component; its weights in peft's layout."""
    torch.manual_seed(3)
    layers = {"transformer": ["to_q", "to_k"], "text_encoder_3": ["wi"]}.get(component, ["q_proj", "v_proj"])
    config = LoraConfig(r=4, lora_alpha=alpha, target_modules=layers, init_lora_weights=False)
    model = getattr(pipe, component)
    model.add_adapter(config, adapter_name=name)
    return get_peft_model_state_dict(model, adapter_name=name)


# Text encoders


@pytest.mark.parametrize("change", ["load_state_dict", "data"])
def test_the_empty_caption_follows_its_encoders_weights(pipe, folder, change):
    sample(pipe)
    scaled = {name: 1.5 * weight for name, weight in pipe.text_encoder_3.state_dict().items()}
    if change == "load_state_dict":
        pipe.text_encoder_3.load_state_dict(scaled)
    else:  # as a fused LoRA
        for weight in pipe.text_encoder_3.parameters():
            weight.data *= 1.5
    fresh = load(folder)
    fresh.text_encoder_3.load_state_dict(scaled)
    torch.testing.assert_close(sample(pipe, guidance_scale=4.0), sample(fresh, guidance_scale=4.0))


def test_embeddings_of_encode_prompt_may_be_fed_back(pipe):
    embeds, negative, pooled, negative_pooled = pipe.encode_prompt("a dress", None, None)
    given = {"prompt": None, "prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
    given |= {"negative_prompt_embeds": negative, "negative_pooled_prompt_embeds": negative_pooled}
    torch.testing.assert_close(sample(pipe, **given), sample(pipe))
    assert pipe.encode_prompt("a dress", max_sequence_length=90)[0].shape[1] == embeds.shape[1] // 2 + 90


# Callbacks


def test_a_callback_is_given_the_tensors_it_names(pipe):
    seen = []

    def callback(pipe, step, timestep, tensors):
        seen.append(dict(tensors))

    latents = sample(
        pipe,
        callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["latents", "pred_original_sample"],
        output_type="latent",
    )
    assert [set(tensors) for tensors in seen] == [{"latents", "pred_original_sample"}] * STEPS
    assert torch.equal(seen[-1]["latents"], latents)
    torch.testing.assert_close(seen[-1]["pred_original_sample"], latents, atol=1e-5, rtol=1e-5)  # no noise is left
    with pytest.raises(ValueError, match="names noise; there are latents, prompt_embeds"):
        sample(pipe, callback_on_step_end=callback, callback_on_step_end_tensor_inputs=["noise"])


def test_the_clean_prediction_is_what_the_velocity_leads_to(pipe):
    """One Euler step to the end from any step is the prediction of that step."""
    seen = []
    sample(pipe, callback_on_step_end=lambda pipe, step, time, tensors: seen.append(tensors))
    sigmas = pipe.scheduler.sigmas
    for step in range(1, STEPS):
        before, after = seen[step - 1]["latents"], seen[step]["latents"]
        velocity = (after - before) / (sigmas[step + 1] - sigmas[step])
        expected = before - sigmas[step] * velocity
        torch.testing.assert_close(seen[step]["pred_original_sample"], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_guidance_may_change_between_steps(pipe, count):
    def off_after_first(pipe, step, timestep, tensors):
        pipe._guidance_scale = 0.0

    by_scale = sample(pipe, count, callback_on_step_end=off_after_first)
    by_diffusers = sample(
        pipe, count, callback_on_step_end=SD3CFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=0)
    )
    torch.testing.assert_close(by_scale, by_diffusers)
    for other in (sample(pipe, count), sample(pipe, count, guidance_scale=1.0)):
        assert not torch.allclose(by_scale, other, atol=1e-4)


# LoRA


def test_the_life_of_a_lora(pipe, folder, tmp_path):
    plain = sample(pipe)
    pipe.save_lora_weights(tmp_path, transformer_lora_layers=adapt(pipe))
    adapted = sample(pipe)
    assert not torch.allclose(adapted, plain, atol=1e-4)

    other = load(folder)
    other.load_lora_weights(tmp_path, adapter_name="style")
    torch.testing.assert_close(sample(other), adapted)
    torch.testing.assert_close(sample(other, joint_attention_kwargs={"scale": 0.0}), plain)
    torch.testing.assert_close(sample(other), adapted)  # the scale held for that call
    half = sample(other, joint_attention_kwargs={"scale": 0.5})
    other.set_adapters("style", 0.5)
    torch.testing.assert_close(sample(other), half)
    other.set_adapters("style", 1.0)
    other.fuse_lora()
    torch.testing.assert_close(sample(other), adapted, atol=1e-4, rtol=1e-4)
    other.unfuse_lora()
    other.unload_lora_weights()
    torch.testing.assert_close(sample(other), plain, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="takes scale alone, not ip_adapter_image_embeds"):
        sample(other, joint_attention_kwargs={"ip_adapter_image_embeds": None})


@pytest.mark.parametrize("written", ["settings", "weights"])
def test_the_alpha_of_a_lora_is_kept(pipe, folder, tmp_path, written):
    layers = adapt(pipe, alpha=12)  # of rank 4
    adapted = sample(pipe)
    other = load(folder)
    if written == "settings":
        pipe.save_lora_weights(tmp_path, transformer_lora_layers=layers)
        other.load_lora_weights(tmp_path)
    else:
        places = {key.split(".lora_A")[0] for key in layers if ".lora_A" in key}
        alphas = {f"transformer.{place}.alpha": torch.tensor(12.0) for place in places}
        other.load_lora_weights({f"transformer.{key}": weight for key, weight in layers.items()} | alphas)
    torch.testing.assert_close(sample(other), adapted)
    TryOffPipeline.save_lora_weights(tmp_path / "plain", transformer_lora_layers=layers)  # as training scripts do
    assert (tmp_path / "plain" / "pytorch_lora_weights.safetensors").is_file()


def test_a_lora_that_does_not_fit_is_refused_by_name(pipe, caplog):
    fitting = {f"transformer.{key}": weight for key, weight in adapt(pipe).items()}
    pipe.unload_lora_weights()
    foreign = {"transformer.single_blocks.0.linear.lora_A.weight": torch.zeros(4, 8)}
    with pytest.raises(ValueError, match=r"nothing of it fits \(transformer\.single_blocks"):
        pipe.load_lora_weights(foreign)
    with pytest.raises(ValueError, match=r"nothing of it fits \(it is empty\)"):
        pipe.load_lora_weights({})
    pipe.load_lora_weights(fitting)
    assert pipe.get_list_adapters() == {"transformer": ["default_0"]} and not caplog.messages


def test_unknown_keys_of_a_lora_are_named_and_the_rest_is_used(pipe, tmp_path, caplog):
    layers = adapt(pipe, alpha=12)  # of rank 4: the settings count
    adapted = sample(pipe)
    pipe.save_lora_weights(tmp_path, transformer_lora_layers=layers)
    pipe.unload_lora_weights()
    file = tmp_path / "pytorch_lora_weights.safetensors"
    with safe_open(file, "pt") as stored:
        settings = stored.metadata()
    foreign = {"transformer.single_blocks.0.linear.lora_A.weight": torch.zeros(4, 8), "other.alpha": torch.tensor(1.0)}
    save_file(load_file(file) | foreign, file, metadata=settings)
    pipe.load_lora_weights(tmp_path)
    torch.testing.assert_close(sample(pipe), adapted)
    pipe.unload_lora_weights()
    load_loras(pipe, [str(file)])
    torch.testing.assert_close(sample(pipe), adapted)
    by_pipeline, by_stages = caplog.messages
    assert by_pipeline.startswith("2 of the LoRA's keys fit no layer: ") and "transformer.single_blocks" in by_pipeline
    assert by_stages.startswith(f"2 of the LoRA {file}'s keys fit no layer: ") and "other.alpha" in by_stages


def test_a_pipeline_saved_with_adapters_loads_again(pipe, tmp_path):
    plain = sample(pipe)
    adapt(pipe, alpha=12)
    adapted = sample(pipe)
    pipe.save_pretrained(tmp_path)
    torch.testing.assert_close(sample(pipe), adapted)
    loaded = load(tmp_path)
    assert loaded.get_list_adapters() == {"transformer": ["style"]}
    torch.testing.assert_close(sample(loaded), adapted)
    loaded.unload_lora_weights()
    torch.testing.assert_close(sample(loaded), plain)


def test_damaged_files_of_adapters_are_named(pipe, tmp_path):
    adapt(pipe)
    pipe.save_pretrained(tmp_path)
    state, weights = tmp_path / "adapters" / "state.json", tmp_path / "adapters" / "style"
    sound = json.loads(state.read_text())
    layer = next(iter(sound["transformer"].values()))
    for content in ("", "[]", '{"transformer": 5}', json.dumps({"transformer": {"elsewhere": layer}})):
        state.write_text(content)
        with pytest.raises(CheckpointError, match=r"state\.json is damaged: copy it again, or delete .*adapters"):
            load(tmp_path)
    state.write_text(json.dumps(sound))
    (file,) = weights.iterdir()
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(CheckpointError, match=r"the adapter can't be loaded from .*style"):
        load(tmp_path)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"adapter.*style"):
        load(tmp_path)


def test_text_encoders_adapters_are_saved_and_loaded(pipe, folder, tmp_path, caplog):
    plain = sample(pipe)
    encoders = ("text_encoder", "text_encoder_2")
    layers = {f"{name}_lora_layers": adapt(pipe, "words", alpha=40, component=name) for name in encoders}
    worded = sample(pipe)
    assert not torch.allclose(worded, plain, atol=1e-4)
    pipe.save_lora_weights(tmp_path / "lora", **layers)
    other = load(folder)
    other.load_lora_weights(tmp_path / "lora", adapter_name="words")
    assert other.get_list_adapters() == {name: ["words"] for name in encoders} and "LoRA" not in caplog.text
    torch.testing.assert_close(sample(other), worded)

    adapt(pipe, "style", alpha=12)
    pipe.set_adapters(["words", "style"], [0.5, 2.0])
    both = sample(pipe)
    pipe.save_pretrained(tmp_path / "pipe")
    torch.testing.assert_close(sample(pipe), both)
    loaded = load(tmp_path / "pipe")
    torch.testing.assert_close(sample(loaded), both)
    loaded.set_adapters("words")
    torch.testing.assert_close(sample(loaded), worded)
    loaded.disable_lora()
    loaded.save_pretrained(tmp_path / "again")
    torch.testing.assert_close(sample(load(tmp_path / "again")), plain)
    loaded.unload_lora_weights()
    torch.testing.assert_close(sample(loaded), plain)


def test_adapters_that_nobody_loads_are_not_saved_silently(pipe, tmp_path):
    adapt(pipe, component="text_encoder_3")
    with pytest.raises(ValueError, match=r"adapters of text_encoder_3 can't be saved"):
        pipe.save_pretrained(tmp_path)


def test_a_fused_pipeline_is_saved_once_its_adapters_are_unloaded(pipe, tmp_path):
    adapt(pipe)
    pipe.fuse_lora()
    with pytest.raises(ValueError, match=r"adapters of transformer can't be saved.*not fused"):
        pipe.save_pretrained(tmp_path)
    fused = sample(pipe)
    pipe.unload_lora_weights()
    pipe.save_pretrained(tmp_path)
    torch.testing.assert_close(sample(load(tmp_path)), fused, atol=1e-4, rtol=1e-4)


# Offloading


@pytest.mark.parametrize("kind", ["block_level", "leaf_level"])
@pytest.mark.parametrize("to_disk", [False, True])
def test_group_offloading_gives_the_same_picture(pipe, folder, tmp_path, kind, to_disk):
    """On a CPU the weights go to the disk, or nowhere; the hooks run as on a GPU."""
    options = {"onload_device": torch.device("cpu"), "offload_device": torch.device("cpu"), "offload_type": kind}
    if kind == "block_level":
        options["num_blocks_per_group"] = 1
    for name in ("transformer", "transformer_vton"):
        disk = {"offload_to_disk_path": str(tmp_path / name)} if to_disk else {}
        getattr(pipe, name).enable_group_offload(**options, **disk)
    torch.testing.assert_close(sample(pipe, 2), sample(load(folder), 2), atol=1e-5, rtol=1e-5)


def test_model_offloading_gives_the_same_picture(pipe, folder):
    pipe.enable_model_cpu_offload(device="cpu")
    assert torch.equal(sample(pipe), sample(load(folder)))


# Saving and loading


@pytest.mark.parametrize(
    "dtype, expected",
    [
        ("bfloat16", torch.bfloat16),
        ("torch.float16", torch.float16),
        (torch.bfloat16, torch.bfloat16),
        ("auto", torch.float32),
    ],
)
def test_precisions_may_be_named(folder, dtype, expected):
    for name in ("dtype", "torch_dtype"):
        loaded = load(folder, **{name: dtype})
        parts = (loaded.transformer, loaded.vae, loaded.text_encoder, loaded.image_encoder_bigG)
        assert {part.dtype for part in parts} == {expected}


def test_precision_by_component(folder):
    loaded = load(folder, torch_dtype={"transformer": torch.bfloat16, "default": torch.float16})
    assert (loaded.transformer.dtype, loaded.vae.dtype) == (torch.bfloat16, torch.float16)
    for dtype in ("float15", 16):
        with pytest.raises(ValueError, match=r"dtype is .*give a torch\.dtype, its name or auto"):
            load(folder, dtype=dtype)


@pytest.mark.parametrize("component", ["transformer", "transformer_vton", "vae", "text_encoder_3"])
def test_a_single_component_may_have_another_precision(folder, pipe, component):
    mixed = load(folder, torch_dtype={component: torch.bfloat16, "default": torch.float32})
    assert getattr(mixed, component).dtype == torch.bfloat16
    difference = (sample(mixed) - sample(pipe)).abs().max()
    assert 0 < difference < 0.05


def test_an_attention_that_ignores_the_reference_is_refused(pipe):
    plain = sample(pipe)
    with pytest.raises(ValueError, match="JointAttnProcessor2_0 would ignore the reference"):
        pipe.transformer.set_attn_processor(JointAttnProcessor2_0())
    pipe.transformer.set_attn_processor(pipe.transformer.attn_processors)
    assert torch.equal(sample(pipe), plain)


def test_arguments_of_diffusers_loading(folder, tmp_path, pipe):
    plain = sample(pipe)
    options = {"token": False, "cache_dir": str(tmp_path), "local_files_only": True}
    options |= {"use_safetensors": True, "low_cpu_mem_usage": True, "device_map": "cpu"}
    assert torch.equal(sample(load(folder, **options)), plain)
    with pytest.raises(ValueError, match="device_map is 'balanced'; give one device"):
        load(folder, device_map="balanced")
    with pytest.raises(ValueError, match="quantize names unet; there are"):
        load(folder, quantize={"unet": 8})
    with pytest.raises(TypeError, match="no component unet"):
        load(folder, unet=None)


def test_a_component_without_the_variant_is_loaded_without(pipe, tmp_path):
    pipe.to(torch.float16)
    pipe.save_pretrained(tmp_path, variant="fp16")
    plain = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    (tmp_path / "vae" / "diffusion_pytorch_model.fp16.safetensors").rename(plain)
    loaded = load(tmp_path, variant="fp16", dtype="auto")
    assert {loaded.vae.dtype, loaded.transformer.dtype, loaded.text_encoder.dtype} == {torch.float16}


def test_models_may_be_left_out(folder, pipe, tmp_path):
    loaded = load(folder, transformer=None, transformer_vton=None, vae=None)
    for ours, other in zip(loaded.encode_captions(["a dress"]), pipe.encode_captions(["a dress"]), strict=True):
        assert torch.equal(ours, other)
    assert torch.equal(loaded.encode_image(photos()[0]), pipe.encode_image(photos()[0]))
    with pytest.raises(ValueError, match="loaded without transformer, transformer_vton, vae"):
        sample(loaded)


def test_an_extractor_folder_may_hold_the_context_streams_projections(folder, tmp_path):
    source = folder / "transformer_vton"
    weights = load_file(source / "diffusion_pytorch_model.safetensors")
    weights |= {f"transformer_blocks.0.attn.add_{x}_proj.weight": torch.zeros(16, 16) for x in "qkv"}
    save_file(weights, tmp_path / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(json.loads((source / "config.json").read_text())))
    ours = FeatureExtractor.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(ours[key], weights[key]) for key in ours)


def test_doors_that_can_not_work_are_refused_in_one_sentence(pipe):
    for name in ("load_ip_adapter", "set_ip_adapter_scale", "prepare_ip_adapter_image_embeds", "from_single_file"):
        with pytest.raises(ValueError, match=rf"{name}\(\) is not available: [^.]*\.?"):
            getattr(pipe, name)("model")


# Batches and kinds of input


def test_lists_of_tensors_and_numpy_pictures_are_taken(pipe):
    image, mask = photos(2)
    expected = sample(pipe, 2)
    arrays = list(image.movedim(1, -1).numpy())
    kinds = {
        "tensors": (list(image), list(mask)),
        "tensors with a batch": ([x[None] for x in image], [x[None] for x in mask]),
        "arrays": (arrays, [x[0].numpy() for x in mask]),
        "one array": (np.stack(arrays), list(mask[:, 0].numpy())),
    }
    rngs = lambda: tuple(torch.Generator().manual_seed(number) for number in range(2))
    for name, (pictures, masks) in kinds.items():
        options = {"prompt": ["a dress", "a skirt"], "num_inference_steps": STEPS, "output_type": "pt"}
        made = pipe(pictures, masks, generator=rngs(), **options).images
        torch.testing.assert_close(made, expected, msg=name)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, torch.bool, torch.uint8, torch.int64])
def test_masks_of_zeros_and_ones_may_have_any_type(pipe, kind):
    image, mask = photos()
    counted = mask.to(kind) if isinstance(kind, torch.dtype) else mask[0, 0].numpy().astype(kind)
    options = {"num_inference_steps": 1, "output_type": "pt"}
    rng = lambda: torch.Generator().manual_seed(0)
    made, expected = (pipe(image, one, generator=rng(), **options).images for one in (counted, mask))
    assert torch.equal(made, expected)


def test_a_black_mask_and_one_of_another_shape_are_one_sentence(pipe):
    image, mask = photos(2)
    mask[1] = 0
    with pytest.raises(ValueError, match=r"^mask 2 of 2 is black all over: the garment must be white in it\.$"):
        pipe(image, mask, num_inference_steps=1)
    photo, marked = Image.new("RGB", (96, 128)), Image.new("L", (97, 128), 255)
    with pytest.raises(ValueError, match=r"^the mask is black all over"):
        pipe(photo, Image.new("L", (48, 64)), num_inference_steps=1)
    for wrong in (Image.new("L", (128, 96), 255), torch.ones(1, 1, 128, 100)):
        with pytest.raises(ValueError, match=r"^the mask is 1\d\dx\d+, the photo 96x128: give a mask of its shape\.$"):
            pipe(photo, wrong, num_inference_steps=1)
    turned = Image.new("RGB", (128, 96))
    turned.getexif()[0x0112] = 6  # upright it is 96x128
    sizes = [pipe(one, marked, num_inference_steps=1).images[0].size for one in (photo, turned)]
    assert sizes == [(WIDTH, HEIGHT)] * 2


def test_bytes_are_scaled_as_pil_pictures_are(pipe):
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    options = {"num_inference_steps": 1, "output_type": "pt", "width": WIDTH, "height": HEIGHT}
    rng = lambda: torch.Generator().manual_seed(0)
    by_pil = pipe(Image.fromarray(pixels), Image.fromarray(mask), generator=rng(), **options).images
    torch.testing.assert_close(pipe(pixels, mask, generator=rng(), **options).images, by_pil)
    with pytest.raises(ValueError, match="mixed kinds"):
        pipe([Image.fromarray(pixels), pixels], [mask, mask], **options)
    with pytest.raises(ValueError, match="differ in size"):
        pipe([pixels, pixels[:32]], [mask, mask], **options)


# Values that are not finite


def test_a_damaged_weight_gives_no_black_picture(pipe):
    pipe.transformer.proj_out.weight.data[0, 0] = float("nan")
    with pytest.raises(NotFiniteError, match="not finite in float32: is a weight of the checkpoint damaged"):
        sample(pipe, output_type="pil")


def test_of_a_batch_only_the_pictures_that_are_not_finite_fail(pipe):
    expected = sample(pipe, 3)

    def overflow(pipe, step, timestep, tensors):
        tensors["latents"][1] = float("inf")
        return {"latents": tensors["latents"]}

    with pytest.raises(NotFiniteError, match=r"\(number 2 of 3\)") as caught:
        sample(pipe, 3, callback_on_step_end=overflow)
    assert caught.value.failed == [1]
    torch.testing.assert_close(caught.value.images[::2], expected[::2])


def test_an_overflow_names_a_precision_that_holds_the_values(folder):
    half = load(folder, dtype="float16")
    half.transformer.proj_out.weight.data.fill_(60000)
    with pytest.raises(NotFiniteError, match="not finite in float16: use float32 or bfloat16"):
        sample(half)

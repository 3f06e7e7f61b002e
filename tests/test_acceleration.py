"""What makes the transformers fast: chosen as the device has it, and equal to the plain way."""

import pytest
import torch
from diffusers.models.attention_dispatch import AttentionBackendName
from test_model import make_extractor, make_generator, make_inputs, make_reference
from torch.nn import functional as F

import command_line
from temu_vtoff import TryOffPipeline, TryOffTransformer
from temu_vtoff.hardware import acceleration, onednn
from temu_vtoff.hardware.acceleration import (
    ATTENTION_BACKENDS,
    choose_attention_backend,
    is_compiling_worth_it,
    speed_up,
)
from temu_vtoff.hardware.devices import choose_dtype, choose_training_precision
from temu_vtoff.tryoff.presets import Preset


@torch.no_grad()
def test_modulations_of_all_steps_at_once_are_those_of_each():
    generator, reference = make_generator(), make_reference(make_extractor(), 2, 8, 8)
    inputs = make_inputs(2, 8, 8)
    times, pooled = torch.tensor([900.0, 500.0, 100.0]), inputs.pop("pooled_projections")
    del inputs["timestep"]
    modulations = generator.modulations(times.repeat_interleave(2), pooled.repeat(3, 1))
    for step, time in enumerate(times):
        each = generator(**inputs, pooled_projections=pooled, timestep=time.expand(2), reference=reference).sample
        given = generator(**inputs, modulations=modulations[2 * step : 2 * step + 2], reference=reference).sample
        torch.testing.assert_close(given, each)


@torch.no_grad()
def test_onednn_computes_the_same():
    x, layer = torch.randn(2, 5, 24), torch.nn.Linear(24, 7)
    torch.testing.assert_close(onednn.linear(x, layer.weight, layer.bias), layer(x))
    torch.testing.assert_close(onednn.linear(x, layer.weight, None), F.linear(x, layer.weight))
    query, key, value = torch.randn(2, 5, 3, 8), torch.randn(2, 9, 3, 8), torch.randn(2, 9, 3, 8)
    expected = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (query, key, value))).transpose(1, 2)
    torch.testing.assert_close(onednn.attention(query, key, value), expected)


@pytest.mark.parametrize(
    "vendor, family, faster",
    [("AuthenticAMD", 26, True), ("AuthenticAMD", 25, False), ("GenuineIntel", 6, False), (None, 0, False)],
)
def test_onednn_is_for_processors_that_gain_by_it(monkeypatch, tmp_path, vendor, family, faster):
    if vendor is not None:
        (tmp_path / "cpuinfo").write_text(f"vendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: 17\n")
    monkeypatch.setattr(onednn, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert onednn.is_faster() is faster


def test_onednn_stands_back_in_other_precisions_and_under_autograd():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    onednn.replace_linears(model)
    assert isinstance(model[0], onednn.OneDnnLinear)
    model(torch.ones(1, 4)).sum().backward()
    assert model[0].weight.grad is not None
    assert model.to(torch.bfloat16)(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("faster", [True, False])
def test_a_made_fast_pipeline_gives_the_same_picture(golden, golden_inputs, golden_pipeline, monkeypatch, faster):
    monkeypatch.setattr(onednn, "is_faster", lambda: faster)
    speed_up(golden_pipeline)
    used = {processor.by_onednn for processor in golden_pipeline.transformer.attn_processors.values()}
    assert used == {faster}
    image = golden_pipeline(
        **golden_inputs, num_inference_steps=4, output_type="pt", generator=torch.Generator().manual_seed(0)
    ).images
    torch.testing.assert_close(image, golden["pipeline.out.guided.image"], atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "negative_reference, preset, kinds",
    [(True, Preset(), 1), (True, Preset(guidance_window=(0, 0.5)), 2), (False, Preset(), 2)],
)
def test_the_repeated_block_compiles_twice_for_each_kind_of_evaluation(negative_reference, preset, kinds, monkeypatch):
    """For all blocks but the last, and for the last, by the real compiler. Without guidance the batch is another, and a
    branch without reference has other arguments."""
    frames = []

    def inductor(graph, example_inputs):
        from torch._inductor.compile_fx import compile_fx

        frames.append(graph)
        return compile_fx(graph, example_inputs)

    compile_blocks = TryOffTransformer.compile_repeated_blocks
    monkeypatch.setattr(
        TryOffTransformer,
        "compile_repeated_blocks",
        lambda model, **options: compile_blocks(model, backend=inductor, **options),
    )
    options = {"num_inference_steps": 4, "output_type": "latent", "preset": preset}
    photo, mask = torch.rand(1, 3, 64, 48), torch.ones(1, 1, 64, 48)
    config = {"negative_reference": negative_reference}
    plain, fast = (TryOffPipeline.from_pretrained("builtin", **config) for _ in range(2))
    torch._dynamo.reset()
    speed_up(fast, compile=True)
    made = [
        pipe(photo, mask, prompt="a dress", generator=torch.Generator().manual_seed(0), **options).images
        for pipe in (plain, fast, fast)
    ]
    torch._dynamo.reset()
    assert 1 <= len(frames) <= 2 * kinds
    for compiled in made[1:]:
        torch.testing.assert_close(compiled, made[0], atol=1e-3, rtol=0)


@torch.no_grad()
def test_compiled_blocks_serve_many_batch_sizes(golden_pipeline, monkeypatch):
    extractor, compile_blocks = make_extractor(), TryOffTransformer.compile_repeated_blocks
    monkeypatch.setattr(  # any compiler: how many versions there may be is dynamo's to say
        TryOffTransformer,
        "compile_repeated_blocks",
        lambda model, **options: compile_blocks(model, backend="eager", **options),
    )
    torch._dynamo.reset()
    golden_pipeline.transformer = make_generator()
    speed_up(golden_pipeline, compile=True, attention_backend="native")
    for batch in range(1, 7):
        inputs = make_inputs(batch, 8, 8)
        made = golden_pipeline.transformer(**inputs, reference=make_reference(extractor, batch, 8, 8)).sample
        assert made.shape == (batch, 16, 8, 8)
    torch._dynamo.reset()


def test_the_attention_backend_is_the_fastest_at_hand(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    installed = set()
    monkeypatch.setattr(acceleration, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)

    def chosen(capability: tuple[int, int], dtype: torch.dtype = torch.bfloat16) -> str:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        return choose_attention_backend(gpu, dtype)

    assert chosen((9, 0)) == "cudnn" and chosen((8, 6)) == "cudnn" and chosen((7, 5)) == "native"
    installed.add("flash_attn_interface")
    assert chosen((9, 0)) == "flash3" and chosen((8, 0)) == "cudnn" and chosen((9, 0), torch.float32) == "native"
    monkeypatch.setattr(onednn, "is_faster", lambda: True)
    assert choose_attention_backend(cpu, torch.float32) == "onednn"
    assert choose_attention_backend(cpu, torch.bfloat16) == "native"
    monkeypatch.setattr(onednn, "is_faster", lambda: False)
    assert choose_attention_backend(cpu, torch.float32) == "native"


def test_attention_backends_are_diffusers_own_and_can_be_named(golden_pipeline):
    assert tuple(ATTENTION_BACKENDS) == command_line.ATTENTION_BACKENDS
    assert set(ATTENTION_BACKENDS.values()) <= {name.value for name in AttentionBackendName}
    speed_up(golden_pipeline, attention_backend="native")
    assert not any(p.by_onednn for p in golden_pipeline.transformer.attn_processors.values())
    with pytest.raises(ValueError, match="no attention backend 'magic'; choose one of flash3"):
        speed_up(golden_pipeline, attention_backend="magic")
    with pytest.raises(ValueError, match="flash3 can't be had here"):
        speed_up(golden_pipeline, attention_backend="flash3")


def test_compiling_is_for_runs_of_many_pictures():
    assert not is_compiling_worth_it(1) and is_compiling_worth_it(5000)


def test_bf16_is_chosen_where_it_is_native_and_faster(monkeypatch):
    cpu = torch.device("cpu")
    for amx, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        assert choose_dtype(None, cpu) == dtype
    assert choose_dtype("bf16", cpu) == torch.bfloat16 and choose_dtype(None, torch.device("mps")) == torch.float32


def test_training_takes_bf16_where_the_cpu_computes_it_itself(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for native, precision in ((True, "bf16"), (False, "no")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        assert choose_training_precision(None, cpu) == precision
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    assert choose_training_precision(None, cpu) == "fp16" and choose_training_precision("no", cpu) == "no"

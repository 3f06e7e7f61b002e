"""What makes the transformers fast: chosen as the device has it, and equal to the plain way."""

import pytest
import torch
from diffusers.models.attention_dispatch import AttentionBackendName
from test_model import make_extractor, make_generator, make_inputs, make_reference
from torch.nn import functional as F

from temu_vtoff import TryOffPipeline, TryOffTransformer
from temu_vtoff.hardware import ATTENTION_BACKENDS, acceleration, cpu
from temu_vtoff.hardware.acceleration import choose_attention_backend, is_compiling_worth_it, speed_up
from temu_vtoff.hardware.devices import choose_dtype, choose_training_precision
from temu_vtoff.hub.sizes import read_width


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
def test_the_cpus_own_ways_compute_the_same():
    x, layer = torch.randn(2, 5, 24), torch.nn.Linear(24, 7)
    torch.testing.assert_close(cpu.linear(x, layer.weight, layer.bias), layer(x))
    torch.testing.assert_close(cpu.linear(x, layer.weight, None), F.linear(x, layer.weight))
    query, key, value = torch.randn(2, 5, 3, 8), torch.randn(2, 9, 3, 8), torch.randn(2, 9, 3, 8)
    expected = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (query, key, value))).transpose(1, 2)
    torch.testing.assert_close(cpu.attend(query, key, value), expected)
    half = cpu.attend(*(part.bfloat16() for part in (query, key, value)))
    if cpu.has_bf16_products():
        torch.testing.assert_close(half.float(), expected, atol=0.03, rtol=0.03)
    else:
        assert half is None


def test_bfloat16_is_left_to_torch_where_onednn_has_no_products_in_it(monkeypatch):
    monkeypatch.setattr(cpu, "has_bf16_products", lambda: False)
    query = torch.zeros(1, 5, 3, 8)
    with torch.no_grad():
        assert cpu.attend(*[query.bfloat16()] * 3) is None and cpu.attend(query, query, query) is not None


def test_attention_is_left_to_torch_where_that_is_faster_or_must_differentiate():
    query, key = torch.zeros(1, 5, 3, 8), torch.zeros(1, 9, 3, 8)
    assert cpu.attend(query, key, key) is None  # under autograd
    with torch.no_grad():
        assert cpu.attend(query.half(), key.half(), key.half()) is None
        many = query.new_empty(1, 1, 1, 1).expand(1, 4096, 24, 64)
        assert cpu.attend(many, many, many) is None


@pytest.mark.parametrize(
    "vendor, family, faster",
    [("AuthenticAMD", 26, True), ("AuthenticAMD", 25, False), ("GenuineIntel", 6, False), (None, 0, False)],
)
def test_onednn_is_for_processors_that_gain_by_it(monkeypatch, tmp_path, vendor, family, faster):
    if vendor is not None:
        (tmp_path / "cpuinfo").write_text(f"vendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: 17\n")
    monkeypatch.setattr(cpu, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert cpu.has_fast_onednn() is faster


def test_onednn_stands_back_in_other_precisions_and_under_autograd():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    cpu.replace_linears(model)
    assert isinstance(model[0], cpu.OneDnnLinear)
    model(torch.ones(1, 4)).sum().backward()
    assert model[0].weight.grad is not None
    assert model.to(torch.bfloat16)(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("faster", [True, False])
def test_a_made_fast_pipeline_gives_the_same_picture(golden, golden_inputs, golden_pipeline, monkeypatch, faster):
    monkeypatch.setattr(cpu, "has_fast_onednn", lambda: faster)
    speed_up(golden_pipeline)
    kernels = {processor.kernel for processor in golden_pipeline.transformer.attn_processors.values()}
    assert kernels == {cpu.attend if faster else None}
    image = golden_pipeline(
        **golden_inputs, num_inference_steps=4, output_type="pt", generator=torch.Generator().manual_seed(0)
    ).images
    torch.testing.assert_close(image, golden["pipeline.out.guided.image"], atol=1e-3, rtol=0)


@torch.no_grad()
def test_bfloat16_on_a_cpu_agrees_with_the_backends():
    generator, extractor = make_generator().bfloat16(), make_extractor().bfloat16()
    inputs = {name: x.bfloat16() if x.is_floating_point() else x for name, x in make_inputs(1, 8, 8).items()}
    given = torch.randn(1, 33, 8, 8).bfloat16(), inputs["pooled_projections"]
    plain = generator(**inputs, reference=extractor(*given)).sample
    for model in (generator, extractor):
        cpu.tune(model, attention_too=True)
    torch.testing.assert_close(generator(**inputs, reference=extractor(*given)).sample, plain, atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    "negative_reference, kinds",
    [(True, 1), (False, 2)],
)
def test_the_repeated_block_compiles_twice_for_each_kind_of_evaluation(negative_reference, kinds, monkeypatch):
    """For all blocks but the last, and for the last, by the real compiler. A branch without reference has other
    arguments."""
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
    options = {"num_inference_steps": 4, "output_type": "latent"}
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
    processor, gpu = torch.device("cpu"), torch.device("cuda")
    installed = set()
    monkeypatch.setattr(acceleration, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)

    def chosen(capability: tuple[int, int], dtype: torch.dtype = torch.bfloat16) -> str:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        return choose_attention_backend(gpu, dtype)

    assert chosen((9, 0)) == "cudnn" and chosen((8, 6)) == "cudnn" and chosen((7, 5)) == "native"
    installed.add("flash_attn_interface")
    assert chosen((9, 0)) == "flash3" and chosen((8, 0)) == "cudnn" and chosen((9, 0), torch.float32) == "native"
    for fast in (True, False):
        monkeypatch.setattr(cpu, "has_fast_onednn", lambda fast=fast: fast)
        monkeypatch.setattr(cpu, "multiplies_bf16", lambda fast=fast: fast)
        expected = "onednn" if fast else "native"
        assert choose_attention_backend(processor, torch.float32) == expected
        assert choose_attention_backend(processor, torch.bfloat16) == expected
        assert choose_attention_backend(processor, torch.float16) == "native"


def test_attention_backends_are_diffusers_own_and_can_be_named(golden_pipeline):
    assert set(ATTENTION_BACKENDS.values()) <= {name.value for name in AttentionBackendName}
    speed_up(golden_pipeline, attention_backend="native")
    assert not any(p.kernel for p in golden_pipeline.transformer.attn_processors.values())
    with pytest.raises(ValueError, match="attention_backend is 'magic'; choose one of flash3"):
        speed_up(golden_pipeline, attention_backend="magic")
    with pytest.raises(ValueError, match="'flash3', which is not available here"):
        speed_up(golden_pipeline, attention_backend="flash3")


def test_compiling_is_for_runs_of_many_pictures():
    assert not is_compiling_worth_it(1) and is_compiling_worth_it(5000)


def test_bf16_is_chosen_where_it_is_native_and_faster(monkeypatch):
    device = torch.device("cpu")
    for amx, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        assert choose_dtype(None, device) == dtype
    assert choose_dtype("bf16", device) == torch.bfloat16
    assert choose_dtype(None, torch.device("mps")) == torch.float32
    with pytest.raises(ValueError, match="precision is 'fp8'; choose one of no, fp16, bf16"):
        choose_dtype("fp8", device)


def test_a_probe_decides_for_the_faster_presets_on_a_cpu(monkeypatch):
    """Of wide models alone: the built-in one stays in float32, and so does the exact preset."""
    device, probed = torch.device("cpu"), []
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(cpu, "gains_by_bf16", lambda width: probed.append(width) or width > 1000)
    taken = [choose_dtype(None, device, preset, width) for preset in ("exact", "fast") for width in (500, 1536)]
    assert taken == [torch.float32, torch.float32, torch.float32, torch.bfloat16] and probed == [500, 1536]
    assert choose_dtype("no", device, "turbo", 1536) == torch.float32 == choose_dtype(None, device, "turbo")


def test_the_probe_of_bf16(monkeypatch):
    assert not cpu.gains_by_bf16(read_width("builtin"))
    cpu.gains_by_bf16.cache_clear()
    monkeypatch.setattr(cpu, "multiplies_bf16", lambda: False)
    assert not cpu.gains_by_bf16(512)
    cpu.gains_by_bf16.cache_clear()
    monkeypatch.setattr(cpu, "multiplies_bf16", lambda: True)
    clock = iter([0, 5, 5, 8, 8, 12, 12, 15, 20, 23, 23, 25, 25, 28, 28, 30])  # 3 s in float32, 2 s in bfloat16
    monkeypatch.setattr(cpu.time, "perf_counter", lambda: next(clock))
    assert cpu.gains_by_bf16(512)
    cpu.gains_by_bf16.cache_clear()


def test_training_takes_bf16_where_the_cpu_computes_it_itself(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for native, precision in ((True, "bf16"), (False, "no")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        assert choose_training_precision(None, cpu) == precision
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    assert choose_training_precision(None, cpu) == "fp16" and choose_training_precision("no", cpu) == "no"

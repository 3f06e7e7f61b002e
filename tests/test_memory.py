"""Little memory: offloading by what is free, weights in fewer bits, and the flags for them."""

import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from test_model import make_generator

import command_line
import inference
import inference_dataset
from temu_vtoff import Options, TryOffPipeline
from temu_vtoff.hardware.acceleration import speed_up
from temu_vtoff.hardware.devices import choose_offload, place, stored_bytes
from temu_vtoff.hardware.quantization import fp8_config, has_fp8, is_quantized, quantization_config

ROOT = Path(__file__).parent.parent
GB = 2**30
PUBLISHED = {"text_encoder_3": 9 * GB, "transformer": 4 * GB, "transformer_vton": 2 * GB, "vae": GB // 5}


@pytest.mark.parametrize("free, expected", [(24, "none"), (16, "model"), (12, "model"), (8, "sequential")])
def test_offloading_follows_the_free_memory(free, expected):
    assert choose_offload(PUBLISHED, working=3 * GB, free=free * GB) == expected


def test_auto_reads_the_free_memory_of_the_gpu(golden_pipeline, monkeypatch):
    calls = []
    for name in ("to", "enable_model_cpu_offload", "enable_sequential_cpu_offload"):
        monkeypatch.setattr(golden_pipeline, name, lambda *args, name=name, **kwargs: calls.append(name))
    for free, offload in ((GB, "none"), (0, "sequential")):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 80 * GB))
        assert place(golden_pipeline, torch.device("cuda"), "auto") == offload
    assert calls == ["to", "enable_sequential_cpu_offload"]
    assert place(golden_pipeline, torch.device("cpu"), "sequential") == "none"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives large pieces back at once")
def test_freed_memory_is_kept_for_the_next_tensor():
    script = (
        "import resource, torch\n"
        "from temu_vtoff.hardware.cpu import keep_freed_memory\n"
        "def new_pages():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(40):\n        torch.ones(2**22)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "given_back = new_pages()\n"
        "keep_freed_memory()\n"
        "print(given_back, new_pages())"
    )
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    given_back, kept = map(int, answer.stdout.split())
    assert kept < given_back / 2


def test_adaln_embeddings_and_output_keep_their_bits():
    chosen = {name for name, module in make_generator().named_modules() if is_quantized(name, module)}
    first = "transformer_blocks.0."
    assert {name.removeprefix(first) for name in chosen if name.startswith(first)} == {
        *(f"attn.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj")),
        "attn.to_add_out",
        *(f"{ff}.net.{layer}" for ff in ("ff", "ff_context") for layer in ("0.proj", "2")),
    }
    assert all(name.startswith("transformer_blocks.") for name in chosen)


def test_fp8_is_for_gpus_that_have_it(monkeypatch):
    assert not has_fp8(torch.device("cpu"))
    monkeypatch.setattr("temu_vtoff.hardware.quantization.find_spec", lambda name: name)
    for capability, has in (((8, 0), False), ((8, 9), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert has_fp8(torch.device("cuda")) is has


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("temu_vtoff.hardware.quantization.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"package torchao.*pip install torchao"):
        TryOffPipeline.from_pretrained("builtin", quantize={"transformer": 8})
    with pytest.raises(ValueError, match="package bitsandbytes"):
        quantization_config("diffusers", 4, torch.bfloat16)
    with pytest.raises(ValueError, match="8 or 4 bits, not 3"):
        quantization_config("diffusers", 3, torch.bfloat16)


@pytest.mark.skipif(find_spec("torchao") is None, reason="torchao is not installed")
def test_configurations_of_torchao():
    config = quantization_config("diffusers", 8, torch.bfloat16)
    assert {"norm1", "norm1_context", "norm_out", "proj_out"} <= set(config.modules_to_not_convert)
    assert type(fp8_config()).__name__ == "Float8DynamicActivationFloat8WeightConfig"
    bits = {"transformer": 8, "text_encoder_3": 8}
    pictures, sizes = [], []
    for quantize in (bits, {}):
        one = speed_up(TryOffPipeline.from_pretrained("builtin", torch_dtype=torch.bfloat16, quantize=quantize))
        sizes.append([sum(map(stored_bytes, one.components[name].state_dict().values())) for name in bits])
        one.set_progress_bar_config(disable=True)
        photo, mask = torch.full((1, 3, 256, 192), 0.4), torch.ones(1, 1, 256, 192)
        generator = torch.Generator().manual_seed(0)
        pictures.append(one(photo, mask, num_inference_steps=4, output_type="pt", generator=generator).images)
    assert all(small < 0.8 * large for small, large in zip(*sizes, strict=True))
    assert 0 < (pictures[0] - pictures[1]).abs().mean() < 0.02


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_configurations_of_bitsandbytes():
    config = quantization_config("transformers", 4, torch.bfloat16)
    assert config.load_in_4bit and config.bnb_4bit_compute_dtype == torch.bfloat16
    assert "proj_out" in config.llm_int8_skip_modules


@pytest.mark.parametrize("script, required", [(inference, []), (inference_dataset, "--dataset_name dresscode")])
def test_both_scripts_have_the_flags(script, required):
    if required:
        required = [*required.split(), "--dataset_root", ".", "--output_dir", "."]
    options = command_line.options(script.parse_args(required))
    assert options == Options(batch_size=options.batch_size)
    flags = "--preset turbo --no-compile --attention_backend native --quantize_text_encoder 8 --vae_tiling"
    flags += " --quantize_transformers 4 --offload sequential"
    assert command_line.options(script.parse_args([*required, *flags.split()])) == Options(
        batch_size=options.batch_size,
        preset="turbo",
        compile=False,
        attention_backend="native",
        quantize_text_encoder=8,
        quantize_transformers=4,
        vae_tiling=True,
        offload="sequential",
    )

"""Makes a pipeline faster: the fastest available kernel for softmax(Q K^T / sqrt(d)) V, compiled blocks, channels-last
convolutions and oneDNN on CPUs. The equations stay the same, only roundings change; fp8 changes more.
"""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from pathlib import Path

import torch
from diffusers import DiffusionPipeline

from temu_vtoff.errors import ArgumentError, check_choice
from temu_vtoff.hardware import ATTENTION_BACKENDS, cpu
from temu_vtoff.hardware.quantization import has_fp8, to_fp8

logger = logging.getLogger(__name__)

COMPILE_FROM = 200  # pictures; for fewer, compiling takes longer than it saves (docs/performance.md)
MOST_VERSIONS = 64  # of a compiled block, two or four for each batch and picture size; torch's default is 8
HALF = (torch.float16, torch.bfloat16)


def choose_attention_backend(device: torch.device, dtype: torch.dtype) -> str:
    """The fastest available of `ATTENTION_BACKENDS` for head size 64."""
    if device.type == "cuda" and dtype in HALF:
        generation = torch.cuda.get_device_capability(device)[0]
        if generation == 9 and find_spec("flash_attn_interface") is not None:
            return "flash3"
        if generation >= 8 and torch.backends.cudnn.is_available():
            return "cudnn"
    if device.type == "cpu":
        by_heads = {torch.float32: cpu.has_fast_onednn, torch.bfloat16: cpu.multiplies_bf16}
        if dtype in by_heads and by_heads[dtype]():
            return "onednn"
    return "native"


def is_compiling_worth_it(pictures_left: int) -> bool:
    """Whether compiling saves more time than it takes.

    Args:
        pictures_left: Number of pictures that this process will make, without finished ones and those of other
            processes.
    """
    return pictures_left >= COMPILE_FROM


def speed_up(
    pipe: DiffusionPipeline, compile: bool = False, attention_backend: str | None = None, fp8: bool = False
) -> DiffusionPipeline:
    """Prepares a try-off or try-on pipeline that is on its device, in place.

    Args:
        compile: Compile the transformers' repeated blocks for each size of picture: the first picture of a size then
            takes some tens of seconds longer. The compiled code is kept on disk for later runs.
        attention_backend: A key of `ATTENTION_BACKENDS`; by default the fastest available.
        fp8: Multiply in 8-bit floating point on GPUs that support it; elsewhere nothing changes.

    Raises:
        ArgumentError: The attention backend is unknown, or not available here.
    """
    transformers = {name: part for name, part in pipe.components.items() if name.startswith("transformer")}
    denoiser = transformers.get("transformer", pipe.transformer_vton)
    device, dtype, models = pipe._execution_device, denoiser.dtype, transformers.values()
    backend = choose_attention_backend(device, dtype) if attention_backend is None else attention_backend
    for model in models:
        _set_attention_backend(model, backend)
        if device.type == "cpu":
            cpu.tune(model, attention_too=backend == "onednn")
    pipe.vae.to(memory_format=torch.channels_last)
    if fp8 and has_fp8(device):
        to_fp8(denoiser)
    if compile:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path.home() / ".cache" / "temu_vtoff" / "compiled"))
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_VERSIONS)
        for model in models:
            model.compile_repeated_blocks(fullgraph=True, dynamic=False)
    logger.info("attention by %s, %s", backend, "compiled blocks" if compile else "not compiled")
    return pipe


def _set_attention_backend(model: torch.nn.Module, backend: str) -> None:
    check_choice("attention_backend", backend, ATTENTION_BACKENDS)
    try:
        model.set_attention_backend(ATTENTION_BACKENDS[backend])
    except RuntimeError as error:
        raise ArgumentError(
            f"{{attention_backend}} is {backend!r}, which is not available here: {error}", "attention_backend"
        ) from error

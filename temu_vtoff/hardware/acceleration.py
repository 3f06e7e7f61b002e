"""What makes a pipeline faster and leaves its equations alone, so that only roundings change: the best kernel at hand
for softmax(Q K^T / sqrt(d)) V, compiled blocks, oneDNN on the CPU, channels-last convolutions. And fp8, which changes
more.
"""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from temu_vtoff.hardware import onednn
from temu_vtoff.hardware.quantization import has_fp8, to_fp8

if TYPE_CHECKING:
    from temu_vtoff.tryoff.pipeline import TryOffPipeline

logger = logging.getLogger(__name__)

ATTENTION_BACKENDS = {  # our names -> diffusers' (of onednn's, what serves where it doesn't)
    "flash3": "_flash_3",
    "flash2": "flash",
    "cudnn": "_native_cudnn",
    "native": "native",
    "onednn": "native",
}
COMPILE_FROM = 200  # pictures: compiling takes as long as it saves on so many (docs/performance.md)
MOST_VERSIONS = 64  # of a compiled block: two or four for each batch and picture size; torch refuses a ninth by itself
HALF = (torch.float16, torch.bfloat16)


def choose_attention_backend(device: torch.device, dtype: torch.dtype) -> str:
    """The fastest of `ATTENTION_BACKENDS` that is at hand for head size 64."""
    if device.type == "cuda" and dtype in HALF:
        generation = torch.cuda.get_device_capability(device)[0]
        if generation == 9 and find_spec("flash_attn_interface") is not None:
            return "flash3"
        if generation >= 8 and torch.backends.cudnn.is_available():
            return "cudnn"
    if device.type == "cpu" and dtype == torch.float32 and onednn.is_faster():
        return "onednn"
    return "native"


def is_compiling_worth_it(pictures: int) -> bool:
    """Whether a run makes enough pictures to earn the warm-up back."""
    return pictures >= COMPILE_FROM


def speed_up(
    pipe: TryOffPipeline, compile: bool = False, attention_backend: str | None = None, fp8: bool = False
) -> TryOffPipeline:
    """Prepares a pipeline that is on its device, in place.

    Args:
        compile: Compile the transformers' repeated blocks, for the sizes met: the first picture of a size then takes
            some tens of seconds longer. The compiled code is kept on disk for later runs.
        attention_backend: One of `ATTENTION_BACKENDS`; the fastest at hand when absent.
        fp8: Multiply in 8-bit floating point where the GPU has it; elsewhere nothing changes.

    Raises:
        ValueError: The attention backend is unknown, or can't be had here.
    """
    device, dtype = pipe._execution_device, pipe.transformer.dtype
    models = (pipe.transformer, pipe.transformer_vton)
    backend = choose_attention_backend(device, dtype) if attention_backend is None else attention_backend
    for model in models:
        _set_attention_backend(model, backend)
        if device.type == "cpu" and onednn.is_faster():
            onednn.replace_linears(model)
    pipe.vae.to(memory_format=torch.channels_last)
    if fp8 and has_fp8(device):
        to_fp8(pipe.transformer)
    if compile:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path.home() / ".cache" / "temu_vtoff" / "compiled"))
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_VERSIONS)
        for model in models:
            model.compile_repeated_blocks(fullgraph=True, dynamic=False)
    logger.info("attention by %s, %s", backend, "compiled blocks" if compile else "not compiled")
    return pipe


def _set_attention_backend(model: torch.nn.Module, backend: str) -> None:
    if backend not in ATTENTION_BACKENDS:
        raise ValueError(f"There is no attention backend {backend!r}; choose one of {', '.join(ATTENTION_BACKENDS)}.")
    try:
        model.set_attention_backend(ATTENTION_BACKENDS[backend])
    except RuntimeError as error:
        raise ValueError(f"The attention backend {backend} can't be had here: {error}") from error
    for processor in model.attn_processors.values():
        processor.by_onednn = backend == "onednn"

"""Where models run and in which precision."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

OFFLOADS = ("auto", "none", "model", "sequential")
WORKING_BYTES_PER_PIXEL = 4000  # estimate for bf16: reference 1.2 KB, the VAE's widest layers 2 KB, the rest
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h
DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}  # by the names of `--mixed_precision`


def choose_device(name: str | None = None) -> torch.device:
    """The device by name, or the best there is: CUDA, then Apple's MPS, then the CPU.

    Raises:
        ValueError: The named device is unknown or absent.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device {name} is no device; give cpu, cuda, cuda:1 or mps.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {name} was asked for, but torch sees {torch.cuda.device_count()} CUDA devices.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"--device {name} was asked for, but this machine has no MPS.")
    return device


def choose_dtype(mixed_precision: str | None, device: torch.device) -> torch.dtype:
    """The compute dtype of `--mixed_precision`; left unset, bf16 where it is native and faster, else float32.

    That is on GPUs, and on CPUs with AMX. AVX512-BF16 alone gains nothing over float32 by oneDNN
    (docs/performance.md).
    """
    if mixed_precision is None:
        faster = device.type != "cpu" or torch.cpu._is_amx_tile_supported()
        mixed_precision = "bf16" if faster and multiplies_bf16(device) else "no"
    return DTYPES[mixed_precision]


def choose_training_precision(mixed_precision: str | None, device: torch.device) -> str:
    """The `--mixed_precision` of a training; left unset, as accelerate is configured, else bf16 where it is native.

    Training gains by bf16 on any device that multiplies it itself, AVX512-BF16 included. Others emulate it: on a CPU
    with AVX2 alone a step takes ten times as long.
    """
    if mixed_precision is None:
        mixed_precision = os.environ.get("ACCELERATE_MIXED_PRECISION")  # set by `accelerate launch`
    if mixed_precision is None:
        mixed_precision = "bf16" if multiplies_bf16(device) else "no"
    return mixed_precision


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; others emulate it, slowly."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def choose_offload(sizes: Mapping[str, int], working: int, free: int) -> str:
    """The fastest of `OFFLOADS` that fits.

    Args:
        sizes: Bytes of each model.
        working: Bytes needed besides: activations, reference, latents.
        free: Bytes of the device's memory.
    """
    if sum(sizes.values()) + working <= free:
        return "none"
    return "model" if max(sizes.values()) + working <= free else "sequential"


def stored_bytes(tensor: torch.Tensor) -> int:
    """What a tensor takes in memory; of a quantised one, what its parts take."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(stored_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return tensor.nbytes


def place(pipe: DiffusionPipeline, device: torch.device, offload: str = "auto") -> str:
    """Puts a pipeline on its device, whole or with diffusers' CPU offloading, which only a GPU needs.

    With offloading each model leaves the device when the next one comes: the extractor after its single run.

    Returns:
        What "auto" came to, or `offload` itself; "none" on a CPU.
    """
    if device.type != "cuda":
        offload = "none" if device.type == "cpu" or offload == "auto" else offload
    elif offload == "auto":
        models = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
        sizes = {name: sum(map(stored_bytes, model.state_dict().values())) for name, model in models.items()}
        size = pipe.working_size
        working = WORKING_BYTES_PER_PIXEL * size.width * size.height
        offload = choose_offload(sizes, working, torch.cuda.mem_get_info(device)[0])
    if offload == "none":
        pipe.to(device)
    elif offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.enable_sequential_cpu_offload(device=device)
    return offload


def keep_freed_memory() -> None:
    """Has the C library keep what this process frees on the CPU, for the next tensor; for trainings.

    glibc hands every large piece back to the system at once, which clears it again, page by page, before the next
    tensor may have it: a training with large attentions spends much of its time so. Elsewhere than on Linux with glibc
    nothing happens.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)  # never


def free_memory() -> None:
    """Gives back what models no longer in use held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

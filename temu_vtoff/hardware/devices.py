"""The device and the precision that models run in."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from temu_vtoff.errors import ArgumentError, check_choice
from temu_vtoff.hardware import PRECISIONS, cpu

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

WORKING_BYTES_PER_PIXEL = 4000  # estimate for bf16: reference 1.2 KB, the VAE's widest layers 2 KB, the rest
DTYPES = dict(zip(PRECISIONS, (torch.float32, torch.float16, torch.bfloat16), strict=True))


def choose_device(name: str | None = None) -> torch.device:
    """The device by name, or the best available: CUDA, then Apple's MPS, then the CPU.

    Raises:
        ArgumentError: The named device is unknown or absent.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ArgumentError(f"{{device}} is {name!r}; give cpu, cuda, cuda:1 or mps.", "device") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ArgumentError(f"{{device}} is {name!r}, but torch sees {count} CUDA devices.", "device")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ArgumentError(f"{{device}} is {name!r}, but this machine has no MPS.", "device")
    return device


def choose_dtype(
    precision: str | None, device: torch.device, preset: str = "exact", width: int | None = None
) -> torch.dtype:
    """The precision that models run in.

    Without `precision` it is bfloat16 where the device multiplies bfloat16 itself and gains by it: on GPUs, on CPUs
    with AMX, and, for the faster presets, on CPUs where a short probe at the generator's width shows a gain. `exact`
    stays float32 on other CPUs.

    Args:
        precision: One of `PRECISIONS`, or None.
        preset: A key of `temu_vtoff.tryoff.presets.PRESETS`.
        width: Width of the generator (`temu_vtoff.hub.sizes.read_width`); None leaves the probe out.

    Raises:
        ArgumentError: There is no such precision.
    """
    if precision is None:
        if device.type == "cpu" and not torch.cpu._is_amx_tile_supported():
            gains = preset != "exact" and width is not None and cpu.gains_by_bf16(width)
        else:
            gains = multiplies_bf16(device)
        precision = "bf16" if gains else "no"
    check_choice("precision", precision, DTYPES)
    return DTYPES[precision]


def choose_training_precision(mixed_precision: str | None, device: torch.device) -> str:
    """The precision of a training; by default accelerate's configuration, else bf16 where the device multiplies it.

    Training gains by bf16 on any device that multiplies it itself, AVX512-BF16 included. Other devices emulate it: on
    a CPU with only AVX2, a step takes ten times as long.
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
    return device.type == "cpu" and cpu.multiplies_bf16()


def choose_offload(sizes: Mapping[str, int], working: int, free: int) -> str:
    """The fastest of `OFFLOADS` that fits.

    Args:
        sizes: Bytes of each model.
        working: Bytes of activations, reference and latents.
        free: Free bytes of the device's memory.
    """
    if sum(sizes.values()) + working <= free:
        return "none"
    return "model" if max(sizes.values()) + working <= free else "sequential"


def stored_bytes(tensor: torch.Tensor) -> int:
    """Bytes of a tensor in memory; for a quantised one, the bytes of its parts."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(stored_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return tensor.nbytes


def place(pipe: DiffusionPipeline, device: torch.device, offload: str = "auto", working: int = 0) -> str:
    """Moves a pipeline to its device, whole or with diffusers' CPU offloading, which only GPUs need.

    With offloading, each model leaves the device when the next one is needed: the extractor after its single run.

    Args:
        working: Bytes that a call needs besides the models; "auto" leaves them free.

    Returns:
        The offload mode that is used: the mode chosen for "auto", "none" on a CPU.
    """
    if device.type != "cuda":
        offload = "none" if device.type == "cpu" or offload == "auto" else offload
    elif offload == "auto":
        models = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
        sizes = {name: sum(map(stored_bytes, model.state_dict().values())) for name, model in models.items()}
        offload = choose_offload(sizes, working, torch.cuda.mem_get_info(device)[0])
    if offload == "none":
        pipe.to(device)
    elif offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.enable_sequential_cpu_offload(device=device)
    return offload


def free_memory() -> None:
    """Frees the memory of models that are no longer in use."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

"""Where models run and in which precision."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

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
    """The compute dtype of `--mixed_precision`; left unset, bf16 on a GPU and float32 elsewhere."""
    if mixed_precision is None:
        mixed_precision = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "no"
    return DTYPES[mixed_precision]


def place(pipe: DiffusionPipeline, device: torch.device, offload: str = "none") -> None:
    """Puts a pipeline on its device, whole or with diffusers' CPU offloading, which only a GPU needs."""
    if offload == "none" or device.type == "cpu":
        pipe.to(device)
    elif offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.enable_sequential_cpu_offload(device=device)


def free_memory() -> None:
    """Gives back what models no longer in use held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

"""Weights in fewer bits, W ~ scale x integer: 8 by torchao or 4 by bitsandbytes as they are loaded, for memory; and
products in 8-bit floating point, for speed. Both packages are optional.

AdaLN, embeddings and output layers stay as they are: they are small in use, and errors there reach every token.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from temu_vtoff.hardware import QUANTIZED_BITS

KEPT = ("norm1", "norm1_context", "norm_out", "proj_out", "pos_embed", "time_text_embed", "context_embedder")
FP8_CAPABILITY = (8, 9)  # CUDA capability: Ada, Hopper and later


def quantization_config(library: str, bits: int, dtype: torch.dtype) -> Any:
    """The `quantization_config` for a model's `from_pretrained`.

    Args:
        library: Library of the model: "diffusers" or "transformers".
        bits: Bits of a weight; 4 needs a GPU for the two transformers.
        dtype: Precision of the products.

    Raises:
        ValueError: Unsupported bits, or a package that is not installed.
    """
    if bits not in QUANTIZED_BITS:
        raise ValueError(f"Weights can be quantised to {' or '.join(map(str, QUANTIZED_BITS))} bits, not {bits}.")
    package = import_module(library)
    if bits == 8:
        _require("torchao")
        from torchao.quantization import Int8WeightOnlyConfig

        return package.TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=list(KEPT))
    _require("bitsandbytes")
    return package.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(KEPT),  # for 4 bits too, in spite of its name
    )


def has_fp8(device: torch.device) -> bool:
    """Whether products in 8-bit floating point are available: the GPU supports them and torchao is installed."""
    return (
        device.type == "cuda"
        and torch.cuda.get_device_capability(device) >= FP8_CAPABILITY
        and find_spec("torchao") is not None
    )


def is_quantized(name: str, module: nn.Module) -> bool:
    """Whether a transformer's module, given with its full name, is a linear layer that may be quantised."""
    return isinstance(module, nn.Linear) and not set(KEPT) & set(name.split("."))


def fp8_config() -> Any:
    """torchao's configuration: weights and activations in float8, a scale for each row."""
    _require("torchao")
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow

    return Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())


def to_fp8(model: nn.Module) -> None:
    """Replaces a transformer's weights in place, layer by layer."""
    config = fp8_config()
    from torchao.quantization import quantize_

    quantize_(model, config, filter_fn=lambda module, name: is_quantized(name, module))


def _require(package: str) -> None:
    if find_spec(package) is None:
        raise ValueError(f"Quantising needs the package {package}, which is not installed: pip install {package}.")

"""Faster computations on CPUs: float32 products by oneDNN, and attention head by head. `tune` applies them;
docs/performance.md has the measurements.

torch computes float32 products with MKL, which uses only AVX2 on AMD's processors; oneDNN uses AVX-512 on them. That is
faster on Zen 5, but slower on Zen 4, which splits 512 bits into two halves. Both are custom operators, so that
`torch.compile` does not replace them.

Letters: B batch, N queries, M keys, H heads, d head size.
"""

import ctypes
import re
import sys
import time
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

CPU_INFO = Path("/proc/cpuinfo")
ZEN_5 = 26  # CPU family; the first of AMD's with whole 512-bit units
MOST_SCORES = 2**21  # attention scores of a head; more don't fit the cache, and torch's kernel is faster
NARROWEST, PROBED_TOKENS, LEAST_GAIN = 256, 256, 1.3  # for the probe of bfloat16
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h
_product = torch.ops.mkldnn._linear_pointwise  # y = x W^T + b; torch's compiler calls it too


def has_fast_onednn() -> bool:
    """Whether oneDNN is faster than MKL on this processor: on AMD's from Zen 5 on."""
    if not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    try:
        described = CPU_INFO.read_text(encoding="utf-8")
    except OSError:  # no Linux
        return False
    family = re.search(r"^cpu family\s*: (\d+)", described, re.MULTILINE)
    return "AuthenticAMD" in described and family is not None and int(family[1]) >= ZEN_5


def multiplies_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself; others emulate it, slowly."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def has_bf16_products() -> bool:
    """Whether oneDNN has products in bfloat16 for this processor; it has none before AVX-512."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


@lru_cache
def gains_by_bf16(width: int) -> bool:
    """Whether a transformer of this width is faster in bfloat16 on this CPU, by a probe of some milliseconds.

    The probe times a product of the feed-forward in both precisions, computed as `tune` would. Narrow models, such as
    the built-in one, spend most of a step on other work than products, and gain nothing.
    """
    if width < NARROWEST or not multiplies_bf16():
        return False
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = (torch.ones(rows, width, dtype=dtype) for rows in (PROBED_TOKENS, 4 * width))
        multiply = linear if dtype == torch.float32 and has_fast_onednn() else F.linear
        times = []
        for _ in range(4):
            started = time.perf_counter()
            multiply(x, weight, None)
            times.append(time.perf_counter() - started)
        seconds[dtype] = min(times)
    return seconds[torch.float32] > LEAST_GAIN * seconds[torch.bfloat16]


def tune(model: nn.Module, attention_too: bool) -> None:
    """Makes a transformer as fast as possible on this CPU; for inference only.

    Args:
        attention_too: Whether to compute attention head by head instead of by one of diffusers' backends.
    """
    if has_fast_onednn():
        replace_linears(model)
    for processor in model.attn_processors.values():
        processor.kernel = attend if attention_too else None


def keep_freed_memory() -> None:
    """Makes the C library keep freed memory for the next tensor; for training.

    glibc returns every large block to the system at once, and the system clears its pages before they are used again: a
    training with large attentions spends a third of its time on that. Without glibc nothing happens.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)  # never


def replace_linears(model: nn.Module) -> None:
    """Makes oneDNN compute the float32 `nn.Linear`s of a model."""
    for module in model.modules():
        if type(module) is nn.Linear and type(module.weight.data) is torch.Tensor:  # not quantised
            module.__class__ = OneDnnLinear


class OneDnnLinear(nn.Linear):
    """`nn.Linear` by oneDNN; by torch in other precisions, on other devices and under autograd."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype == torch.float32 and _serves(x):
            return linear(x, self.weight, self.bias)
        return super().forward(x)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor | None:
    """softmax(Q K^T / sqrt(d)) V: (B, N, H, d), 2 x (B, M, H, d) -> (B, N, H, d); None for unsuitable tensors."""
    few = query.shape[1] * key.shape[1] <= MOST_SCORES
    suits = query.dtype == torch.float32 or (query.dtype == torch.bfloat16 and has_bf16_products())
    if few and suits and _serves(query):
        return attention(query, key, value)
    return None


def _serves(x: torch.Tensor) -> bool:
    return x.device.type == "cpu" and not torch.is_grad_enabled()


@torch.library.custom_op("temu_vtoff::linear", mutates_args=())
def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """(..., K), (M, K), (M,) -> (..., M)."""
    return _product(x, weight, bias, "none", [], "")


@linear.register_fake
def _(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return x.new_empty(*x.shape[:-1], len(weight))


@torch.library.custom_op("temu_vtoff::attention", mutates_args=())
def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """(B, N, H, d), 2 x (B, M, H, d) -> (B, N, H, d), head by head, so that the scores (N, M) stay in the cache."""
    attended = torch.empty_like(query, memory_format=torch.contiguous_format)
    query = query * query.shape[-1] ** -0.5
    for item in range(len(query)):
        for head in range(query.shape[2]):
            scores = _product(query[item, :, head].contiguous(), key[item, :, head].contiguous(), None, "none", [], "")
            values = value[item, :, head].t().contiguous()  # (d, M)
            attended[item, :, head] = _product(scores.softmax(-1), values, None, "none", [], "")
    return attended


@attention.register_fake
def _(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(query, memory_format=torch.contiguous_format)

"""Linear layers and attention, softmax(Q K^T / sqrt(d)) V, in float32 on the CPU by oneDNN.

torch sends float32 products to MKL, which keeps to AVX2 on AMD's processors; oneDNN uses AVX-512 on them: 2.3 times the
speed on a Zen 5 core, but slower on Zen 4, which does 512 bits in two halves (docs/performance.md). Both are custom
operators, so that `torch.compile` passes them by.
"""

import re
from pathlib import Path

import torch
from torch import nn

CPU_INFO = Path("/proc/cpuinfo")
ZEN_5 = 26  # its CPU family, and the first with whole 512-bit units
_product = torch.ops.mkldnn._linear_pointwise  # y = x W^T + b; what torch's own compiler calls


def is_faster() -> bool:
    """Whether this processor gains by the instructions that oneDNN uses and MKL doesn't: AMD's from Zen 5 on."""
    if not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    try:
        described = CPU_INFO.read_text(encoding="utf-8")
    except OSError:  # no Linux
        return False
    family = re.search(r"^cpu family\s*: (\d+)", described, re.MULTILINE)
    return "AuthenticAMD" in described and family is not None and int(family[1]) >= ZEN_5


def replace_linears(model: nn.Module) -> None:
    """Has oneDNN compute the float32 `nn.Linear`s of a model on the CPU; for inference only."""
    for module in model.modules():
        if type(module) is nn.Linear and type(module.weight.data) is torch.Tensor:  # not a quantised one
            module.__class__ = OneDnnLinear


class OneDnnLinear(nn.Linear):
    """`nn.Linear` by another library; as before in other precisions, on other devices and under autograd."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if serves(x):
            return linear(x, self.weight, self.bias)
        return super().forward(x)


def serves(x: torch.Tensor) -> bool:
    """Whether the operators here take such a tensor."""
    return x.dtype == torch.float32 and x.device.type == "cpu" and not torch.is_grad_enabled()


@torch.library.custom_op("temu_vtoff::linear", mutates_args=())
def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """(..., K), (M, K), (M,) -> (..., M)."""
    return _product(x, weight, bias, "none", [], "")


@linear.register_fake
def _(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return x.new_empty(*x.shape[:-1], len(weight))


@torch.library.custom_op("temu_vtoff::attention", mutates_args=())
def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """(B, N, H, d), 2 x (B, M, H, d) -> (B, N, H, d), head by head, so that the scores (N, M) stay near."""
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

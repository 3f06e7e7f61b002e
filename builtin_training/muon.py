"""The Muon optimizer: steps that change all directions of a weight matrix by the same amount."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from temu_vtoff.errors import ArgumentError
from temu_vtoff.hardware.devices import multiplies_bf16

# Jordan's quintic for Newton-Schulz iterations: in five rounds it takes singular values from (0, 1] to about 1.
QUINTIC, ROUNDS = (3.4445, -4.7750, 2.0315), 5
_HIDDEN = re.compile(r"(blocks|layers)\.\d+\.(attn2?|self_attn|ff|ff_context|mlp)\.")  # in diffusers and transformers
ADAMW_RMS = 0.2  # usual root mean square of AdamW's updates, as a fraction of the learning rate


class Muon(torch.optim.AdamW):
    """Muon for the weight matrices inside transformer blocks, AdamW for everything else.

    A matrix's averaged gradient is replaced by the nearest one whose singular values are all 1 (Jordan 2024,
    kellerjordan.github.io/posts/muon), scaled so that its entries are as large as AdamW's updates: one learning rate
    and one weight decay suit both (Liu et al. 2025, arXiv 2502.16982). Modulations, embeddings, biases and heads are
    AdamW's. `torch.optim.Muon` always computes in bfloat16, one matrix at a time, which on a CPU may take longer than
    the rest of a training step; here matrices of one shape are computed together, and in float32 where bfloat16 is
    emulated.

    Args:
        named_parameters: As `nn.Module.named_parameters` gives them; matrices of blocks are recognised by name.
        momentum: Decay of the averaged gradient of a matrix (Nesterov momentum).
        settings: AdamW's; the learning rate and weight decay apply to all parameters.
    """

    def __init__(
        self, named_parameters: Iterable[tuple[str, nn.Parameter]], momentum: float = 0.95, **settings: Any
    ) -> None:
        parameters = list(named_parameters)
        super().__init__([parameter for _, parameter in parameters], **settings)
        self.matrices = [parameter for name, parameter in parameters if _is_hidden_matrix(name, parameter)]
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        same_shape = defaultdict(list)
        for matrix in self.matrices:
            if matrix.grad is not None:
                same_shape[matrix.shape, matrix.device].append(matrix)
        for matrices in same_shape.values():
            self._step_matrices(matrices)
            for matrix in matrices:
                matrix.grad = None  # so that AdamW skips it
        super().step()
        return loss

    def _step_matrices(self, matrices: list[nn.Parameter]) -> None:
        """One step of matrices that have the same shape."""
        group = self.param_groups[0]
        updates = []
        for matrix in matrices:
            state = self.state[matrix]
            if "momentum" not in state:  # AdamW looks for "step" in what it loads
                state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(matrix)}
            average = state["momentum"].lerp_(matrix.grad, 1 - self.momentum)
            updates.append(matrix.grad.lerp(average, self.momentum))
        rate = group["lr"] * ADAMW_RMS * max(matrices[0].shape) ** 0.5
        for matrix, update in zip(matrices, orthogonalize(torch.stack(updates)), strict=True):
            matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices (B, M, N) with the same singular vectors, and all singular values about 1: within [0.7, 1.2]."""
    a, b, c = QUINTIC
    x = matrices.bfloat16() if multiplies_bf16(matrices.device) else matrices.float()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def _is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether it is a weight of attention or feed-forward within a block; not a modulation (`norm1.linear`)."""
    return parameter.ndim == 2 and _HIDDEN.search(name) is not None


def make_muon(objective: nn.Module, settings: dict[str, Any]) -> Muon:
    """Muon for an objective's trainable parameters.

    Args:
        settings: Keywords of `temu_vtoff.training.optimization.make_optimizer`.

    Raises:
        ArgumentError: 8 bits are asked for.
    """
    if settings.get("use_8bit"):
        raise ArgumentError(
            "{use_8bit_adam} is for {optimizer} adamw: Muon stores no moments in 8 bits.", "optimizer", "use_8bit_adam"
        )
    trained = [(name, parameter) for name, parameter in objective.named_parameters() if parameter.requires_grad]
    return Muon(
        trained,
        lr=settings["learning_rate"],
        betas=settings["betas"],
        weight_decay=settings["weight_decay"],
        eps=settings["epsilon"],
    )

"""AdaLN's modulations given from outside, for all steps of a sampling at once, and the way from tokens to latents: what
the two denoisers share.

Letters: B batch, N image tokens, D width, P pooled width, p patch size, C latent channels, L blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.hooks.group_offloading import _is_group_offload_enabled
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Modulations:
    """AdaLN's shifts, scales and gates, which depend on timestep and pooled text alone.

    Each may also be the embedding of both, (B, D), which its block then computes them of.

    Attributes:
        image: For each of the L blocks, (B, 6, D).
        text: For each of the L blocks, (B, 6, D); for the last block (B, 2, D).
        out: For the last norm, (B, 2, D).
    """

    image: Sequence[torch.Tensor]
    text: Sequence[torch.Tensor]
    out: torch.Tensor

    def __getitem__(self, items: slice) -> Modulations:
        """The modulations of some items of the batch."""
        return Modulations([m[items] for m in self.image], [m[items] for m in self.text], self.out[items])


class BeforehandMixin:
    """For SD3's transformers: modulations that can be computed before the forward pass, and the way out."""

    @property
    def computes_beforehand(self) -> bool:
        """Whether `modulations` can be called: diffusers' group offloading loads the weights only in `forward`."""
        return not _is_group_offload_enabled(self)

    def embed(self, timestep: torch.Tensor, pooled_projections: torch.Tensor) -> torch.Tensor:
        """The input of AdaLN's linear layers, (B, D)."""
        return F.silu(self.time_text_embed(timestep, pooled_projections))

    @apply_forward_hook  # with CPU offloading the weights may be elsewhere
    def modulations(self, timestep: torch.Tensor, pooled_projections: torch.Tensor) -> Modulations:
        """AdaLN of all blocks: for the S steps of a sampling at once, its weights, a third of all, are read once.

        Args:
            timestep: (S,) or (B,), in [0, 1000].
            pooled_projections: (B, P). With S timesteps for B items, give both S B times.
        """
        embedded, blocks = self.embed(timestep, pooled_projections), self.transformer_blocks
        return Modulations(
            [modulation(block.norm1, embedded) for block in blocks],
            [modulation(block.norm1_context, embedded) for block in blocks if hasattr(block, "norm1_context")],
            modulation(self.norm_out, embedded),
        )

    def read_out(self, image: torch.Tensor, out: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """The last norm and layer: tokens (B, N, D) -> latents (B, C, height, width).

        Args:
            out: `Modulations.out`.
        """
        scale, shift = modulation(self.norm_out, out)[:, :, None].unbind(1)
        patches = self.proj_out(modulate(self.norm_out.norm(image), shift, scale))  # (B, N, p p C)
        return unpatchify(patches, height, width, self.config.patch_size)


def modulation(norm: nn.Module, given: torch.Tensor) -> torch.Tensor:
    """AdaLN's modulations (B, 6 or 2, D): as given, or computed from the embedding (B, D)."""
    return given if given.ndim == 3 else norm.linear(given).unflatten(-1, (-1, given.shape[-1]))


def modulate(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """AdaLN after the norm: (B, N, D), 2 x (B, 1, D) -> (B, N, D)."""
    return x * (1 + scale) + shift


def unpatchify(patches: torch.Tensor, height: int, width: int, patch_size: int) -> torch.Tensor:
    """(B, N, p p C) -> (B, C, height, width); within a token the channels run fastest, as in SD3."""
    rows, columns = height // patch_size, width // patch_size
    grid = patches.unflatten(1, (rows, columns)).unflatten(-1, (patch_size, patch_size, -1))  # (B, r, c, p, p, C)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, rows * patch_size, columns * patch_size)

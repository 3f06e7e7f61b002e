"""Supervises the generator's attention to the reference with true correspondences, which are known for drawn people.

With the flow matching loss alone, attention to the reference stays spread over many tokens around the right one: enough
for colours, not for patterns of small parts.

Letters: B items, N image tokens, R reference tokens, H heads, d head size, r c sides of the grid of coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from temu_vtoff.models.attention import split_heads
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.training.aligner import numbered_block

_LEAST = 1e-8  # added to a weight before its logarithm


class CorrespondenceLoss:
    """Compares the attention of some of the generator's blocks to the reference with the true correspondences.

    Args:
        generator: Hooks keep queries and keys; its forward pass stays the same. The N R weights of every head are
            computed in `loss`, and again in the backward pass.
        blocks: Numbers of the blocks, counted from 1.
        reference_patch: Side of the extractor's patches in the latents.

    Raises:
        ValueError: There is no such block.
    """

    def __init__(self, generator: TryOffTransformer, blocks: Sequence[int], reference_patch: int) -> None:
        self.patch, self.reference_patch = generator.config.patch_size, reference_patch
        self._latest: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # queries and keys by block
        for block in blocks:

            def keep(attn: nn.Module, inputs: tuple, named: dict[str, Any], block: int = block) -> None:
                if (key := named["reference_key"]) is not None:  # guidance's negative branch may have none
                    self._latest[block] = _queries_and_keys(attn, named["hidden_states"], key)

            numbered_block(generator, block).attn.register_forward_pre_hook(keep, with_kwargs=True)

    def loss(self, coords: torch.Tensor, latent_size: tuple[int, int]) -> torch.Tensor:
        """Mean cross entropy of the latest attention with the true coordinates. A point lies between four tokens; each
        is right in proportion to how near it is (bilinear weights).

        Args:
            coords: (B, r, c, 2): x and y in [0, 1] of the photo, for the centres of the product picture's cells; NaN
                where they aren't seen.
            latent_size: h and w, of both pictures.
        """
        latest, self._latest = self._latest, {}
        rows, columns = (side // self.reference_patch for side in latent_size)
        cells = _nearest_tokens(coords.shape[1:3], [side // self.patch for side in latent_size]).to(coords.device)
        coords = coords.flatten(1, 2).float()  # (B, r c, 2)
        seen = coords.isfinite().all(-1)  # (B, r c)
        at = torch.where(seen[..., None], coords, 0.0) * coords.new_tensor([columns, rows]) - 0.5  # in tokens
        around = at[..., None, :].floor() + coords.new_tensor([(0, 0), (1, 0), (0, 1), (1, 1)])  # (B, r c, 4, 2)
        near = (1 - (around - at[..., None, :]).abs()).prod(-1) * seen[..., None]  # (B, r c, 4)
        x, y = around[..., 0].clamp(0, columns - 1).long(), around[..., 1].clamp(0, rows - 1).long()
        pairs = cells[:, None] * rows * columns + y * columns + x  # (B, r c, 4): an image token and a reference token
        losses = []
        for query, key in latest.values():
            weights = checkpoint(_weights, query, key, use_reentrant=False)
            attended = weights.flatten(1).gather(1, pairs.flatten(1)).view_as(near)
            losses.append(-((attended + _LEAST).log() * near).sum())
        return torch.stack(losses).mean() / seen.sum().clamp(min=1)


def _queries_and_keys(
    attn: nn.Module, hidden_states: torch.Tensor, reference_key: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, N, D), (B, R, D) -> (B, H, N, d), (B, H, R, d), as the attention itself computes them."""
    query, key = (split_heads(x, attn.heads).transpose(1, 2) for x in (attn.to_q(hidden_states), reference_key))
    return (query, key) if attn.norm_q is None else (attn.norm_q(query), attn.norm_k(key))


def _weights(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Attention to the reference alone, averaged over heads: (B, H, N, d), (B, H, R, d) -> (B, N, R), float32."""
    scores = (query @ key.transpose(-1, -2)).float() * query.shape[-1] ** -0.5  # (B, H, N, R)
    return scores.softmax(-1).mean(1)


def _nearest_tokens(cells: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
    """The token that each cell of a grid lies in, both row by row: (r c,)."""
    row, column = ((2 * torch.arange(n) + 1) * of // (2 * n) for n, of in zip(cells, tokens, strict=True))
    return (row[:, None] * tokens[1] + column).flatten()

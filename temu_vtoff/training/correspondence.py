"""A lesson for the generator's attention: where in the photo what it draws is seen.

The flow matching loss alone leaves the attention to the reference spread over many tokens around the right one: enough
for colours, not for a pattern of small parts. Where the truth is known, as of drawn people, attention can be told.

Letters: B items, N image tokens, R reference tokens, H heads, d head size, r c sides of the grid of places.
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

_LEAST = 1e-8  # of a weight whose logarithm is taken


class CorrespondenceLesson:
    """Compares the attention of some of the generator's blocks to the reference with where the garment truly is.

    Args:
        generator: Queries and keys are taken by hooks, so nothing of its forward changes. The large part, N R weights
            for every head, is left to loss, and made anew for backward.
        blocks: Counted from 1.
        reference_patch: Side of the extractor's patches in the latents.

    Raises:
        ValueError: No such block.
    """

    def __init__(self, generator: TryOffTransformer, blocks: Sequence[int], reference_patch: int) -> None:
        self.patch, self.reference_patch = generator.config.patch_size, reference_patch
        self._latest: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # queries and keys of a block
        for block in blocks:

            def keep(attn: nn.Module, inputs: tuple, named: dict[str, Any], block: int = block) -> None:
                if (key := named["reference_key"]) is not None:  # guidance's negative branch may read none
                    self._latest[block] = _queries_and_keys(attn, named["hidden_states"], key)

            numbered_block(generator, block).attn.register_forward_pre_hook(keep, with_kwargs=True)

    def loss(self, places: torch.Tensor, latent_size: tuple[int, int]) -> torch.Tensor:
        """Mean cross entropy of the latest attention with the true places; a place lies between four tokens, and each
        of them is right as far as it is near.

        Args:
            places: (B, r, c, 2): x and y in [0, 1] of the photo, for the middles of the product picture's cells; NaN
                where they aren't seen.
            latent_size: h and w, of both pictures.
        """
        latest, self._latest = self._latest, {}
        rows, columns = (side // self.reference_patch for side in latent_size)
        cells = _nearest_tokens(places.shape[1:3], [side // self.patch for side in latent_size]).to(places.device)
        places = places.flatten(1, 2).float()  # (B, r c, 2)
        seen = places.isfinite().all(-1)  # (B, r c)
        at = torch.where(seen[..., None], places, 0.0) * places.new_tensor([columns, rows]) - 0.5  # in tokens
        around = at[..., None, :].floor() + places.new_tensor([(0, 0), (1, 0), (0, 1), (1, 1)])  # (B, r c, 4, 2)
        near = (1 - (around - at[..., None, :]).abs()).prod(-1) * seen[..., None]  # (B, r c, 4)
        x, y = around[..., 0].clamp(0, columns - 1).long(), around[..., 1].clamp(0, rows - 1).long()
        pairs = cells[:, None] * rows * columns + y * columns + x  # of an image token and one of the reference
        losses = []
        for query, key in latest.values():
            weights = checkpoint(_weights, query, key, use_reentrant=False)
            told = weights.flatten(1).gather(1, pairs.flatten(1)).view_as(near)
            losses.append(-((told + _LEAST).log() * near).sum())
        return torch.stack(losses).mean() / seen.sum().clamp(min=1)


def _queries_and_keys(
    attn: nn.Module, hidden_states: torch.Tensor, reference_key: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, N, D), (B, R, D) -> (B, H, N, d), (B, H, R, d), as the attention itself makes them."""
    query, key = (split_heads(x, attn.heads).transpose(1, 2) for x in (attn.to_q(hidden_states), reference_key))
    return (query, key) if attn.norm_q is None else (attn.norm_q(query), attn.norm_k(key))


def _weights(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Attention to the reference alone, mean of the heads: (B, H, N, d), (B, H, R, d) -> (B, N, R), float32."""
    scores = (query @ key.transpose(-1, -2)).float() * query.shape[-1] ** -0.5  # (B, H, N, R)
    return scores.softmax(-1).mean(1)


def _nearest_tokens(cells: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
    """The token that each cell of a grid lies in, both row by row: (r c,)."""
    row, column = ((2 * torch.arange(n) + 1) * of // (2 * n) for n, of in zip(cells, tokens, strict=True))
    return (row[:, None] * tokens[1] + column).flatten()

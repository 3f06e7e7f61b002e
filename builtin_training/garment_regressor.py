"""A loss for extractors with fresh weights: each token predicts the garment's latents in its patch.

Trained through the generator's attention alone, a fresh extractor learns colours soon and outlines hardly at all,
because the caption already gives the rough shape. The regressor is discarded after training.

Letters: B items, C latent channels, h w latent size, N image tokens, p side of a token's patch.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from temu_vtoff.models.feature_extractor import FeatureExtractor


class GarmentRegressor(nn.Module):
    """A linear head on the input of the extractor's last block, whose keys and values are the last the generator sees.

    Args:
        extractor: A hook keeps the input of its last block; its forward pass stays the same.
        channels: C.
    """

    def __init__(self, extractor: FeatureExtractor, channels: int) -> None:
        super().__init__()
        self.patch_size = extractor.config.patch_size
        width = extractor.config.num_attention_heads * extractor.config.attention_head_dim
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, channels * self.patch_size**2))
        self._tokens: torch.Tensor | None = None
        extractor.transformer_blocks[-1].register_forward_pre_hook(self._keep)

    def _keep(self, block: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._tokens = inputs[0]  # (B, N, D)

    def loss(self, garment_latents: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the garment's latents (B, C, h, w), predicted patch by patch from the latest tokens."""
        tokens, self._tokens = self._tokens, None
        patches = F.unfold(garment_latents.float(), self.patch_size, stride=self.patch_size)  # (B, C p p, N)
        return F.mse_loss(self.head(tokens).float(), patches.transpose(1, 2))

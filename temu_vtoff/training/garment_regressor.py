"""A lesson for extractors that start from nothing: each of their tokens must tell the garment's latents at its place.

The generator's attention alone teaches a new extractor colours soon, outlines hardly ever: while the caption tells the
rough shape, nothing asks the photo for more. It is thrown away after training.

Letters: B items, C latent channels, h w latent size, N image tokens, p side of a token's patch.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from temu_vtoff.models.feature_extractor import FeatureExtractor


class GarmentRegressor(nn.Module):
    """Reads what the extractor's last block is given, whose keys and values are the last that the generator sees.

    Args:
        extractor: Its last block's input is taken by a hook, so nothing of its forward changes.
        channels: C.
    """

    def __init__(self, extractor: FeatureExtractor, channels: int) -> None:
        super().__init__()
        self.patch_size = extractor.config.patch_size
        width = extractor.config.num_attention_heads * extractor.config.attention_head_dim
        self.foretell = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, channels * self.patch_size**2))
        self._tokens: torch.Tensor | None = None
        extractor.transformer_blocks[-1].register_forward_pre_hook(self._keep)

    def _keep(self, block: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._tokens = inputs[0]  # (B, N, D)

    def loss(self, garment_latents: torch.Tensor) -> torch.Tensor:
        """Mean square error of the garment's latents (B, C, h, w), foretold patch by patch from the latest tokens."""
        tokens, self._tokens = self._tokens, None
        patches = F.unfold(garment_latents.float(), self.patch_size, stride=self.patch_size)  # (B, C p p, N)
        return F.mse_loss(self.foretell(tokens).float(), patches.transpose(1, 2))

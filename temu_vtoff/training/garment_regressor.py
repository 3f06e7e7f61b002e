"""A lesson for extractors that start from nothing: foretell the garment's latents from the person's tokens, by place.

The generator's attention alone teaches a new extractor colours soon, outlines hardly ever. A network that reads all of
the person's tokens at fixed places has a much shorter way to the garment's outline, and takes the extractor along.
It is thrown away after training.

Letters: B items, N image tokens, D extractor width, C latent channels, h w latent size, p side of a token's patch.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from temu_vtoff.feature_extractor import FeatureExtractor

_KEPT = 16  # channels of a token that are read
_HIDDEN = 512


class GarmentRegressor(nn.Module):
    """Reads what the extractor's last block is given.

    Args:
        extractor: Its last block's input is taken by a hook, so nothing of its forward changes.
        latent_size: h and w, of the garment as of the person.
        channels: C.
    """

    def __init__(self, extractor: FeatureExtractor, latent_size: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.patch_size = extractor.config.patch_size
        tokens = (latent_size[0] // self.patch_size) * (latent_size[1] // self.patch_size)
        width = extractor.config.num_attention_heads * extractor.config.attention_head_dim
        self.foretell = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, _KEPT),
            nn.Flatten(),
            nn.Linear(tokens * _KEPT, _HIDDEN),
            nn.SiLU(),
            nn.Linear(_HIDDEN, channels * tokens),
        )
        self._tokens: torch.Tensor | None = None
        extractor.transformer_blocks[-1].register_forward_pre_hook(self._keep)

    def _keep(self, block: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._tokens = inputs[0]  # (B, N, D)

    def loss(self, garment_latents: torch.Tensor) -> torch.Tensor:
        """Mean square error of the garment's latents (B, C, h, w), averaged over each token's patch."""
        tokens, self._tokens = self._tokens, None
        truth = F.avg_pool2d(garment_latents.float(), self.patch_size)  # (B, C, h / p, w / p)
        return F.mse_loss(self.foretell(tokens).float(), truth.flatten(1))

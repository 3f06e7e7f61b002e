"""Alignment of the generator with a vision transformer's view of the true garment (arXiv 2505.21062, section 3.3).

Letters: B items, N = rows x columns image tokens, D generator width, G = side x side patch tokens, V ViT width.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoImageProcessor, AutoModel, CLIPVisionModel

from temu_vtoff.hub.errors import explain_loading

PUBLISHED_HIDDEN = 2048  # channels of the projector
_GROUPS = 32


class VisionFeatures(nn.Module):
    """Any vision transformer, frozen, as a source of patch tokens; the grid follows from its configuration.

    Args:
        vit: A transformers vision model whose last hidden state is (B, prefix + G, V).
        image_mean: Mean of its input, per channel; pictures are in [0, 1].
        image_std: Standard deviation of its input, per channel.
        size: Side of its input in pixels; None takes the configuration's.
    """

    def __init__(
        self,
        vit: nn.Module,
        image_mean: tuple[float, ...] = (0.485, 0.456, 0.406),
        image_std: tuple[float, ...] = (0.229, 0.224, 0.225),
        size: int | None = None,
    ) -> None:
        super().__init__()
        config = getattr(vit.config, "vision_config", vit.config)
        self.vit = vit.eval().requires_grad_(False)
        self.size = size if size is not None else config.image_size
        self.side = self.size // config.patch_size  # patches along each side of the picture
        self.width = config.hidden_size
        self.interpolates = self.size != config.image_size
        self.register_buffer("mean", torch.tensor(image_mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(image_std).view(1, -1, 1, 1), persistent=False)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, size: int | None = None, **place: str) -> VisionFeatures:
        """Loads by hub id or folder.

        Args:
            name_or_path: A ViT of transformers; a CLIP model gives its vision half.
            size: Side of the input in pixels, a multiple of the patch; None takes the model's own.
            place: `subfolder` or `revision`.

        Raises:
            CheckpointError: It can't be loaded.
        """
        with explain_loading(name_or_path, "the alignment's ViT", "align_model"):
            config = AutoConfig.from_pretrained(name_or_path, **place)
            kind = CLIPVisionModel if config.model_type.startswith("clip") else AutoModel
            # Float32 even if it was saved in half precision: autocast can't mix float16 with bfloat16.
            vit = kind.from_pretrained(name_or_path, dtype=torch.float32, **place)
        try:
            processor = AutoImageProcessor.from_pretrained(name_or_path, **place)
            return cls(vit, tuple(processor.image_mean), tuple(processor.image_std), size)
        except (OSError, ValueError):  # no preprocessor file: ImageNet's statistics
            return cls(vit, size=size)

    @torch.no_grad()
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Patch tokens of pictures (B, 3, H, W) in [0, 1], stretched to the ViT's square: (B, G, V)."""
        pixels = F.interpolate(pictures, size=(self.size, self.size), mode="bicubic", antialias=True).clamp(0, 1)
        pixels = ((pixels - self.mean) / self.std).to(self.vit.dtype)
        extra = {"interpolate_pos_encoding": True} if self.interpolates and not _is_dinov2(self.vit) else {}
        tokens = self.vit(pixel_values=pixels, **extra).last_hidden_state  # (B, prefix + G, V)
        return tokens[:, -(self.side**2) :]  # class and register tokens come first


class Aligner(nn.Module):
    """Projects the image tokens of one of the generator's blocks to the ViT's grid and compares them with its tokens.

    Args:
        generator: A hook keeps the output of one of its blocks; its forward pass stays the same.
        block: Number of that block, counted from 1.
        side: Patches along each side of the ViT's picture.
        width: V.
        hidden_channels: Width of the projector; published 2048.
    """

    def __init__(
        self,
        generator: SD3Transformer2DModel,
        block: int,
        side: int,
        width: int,
        hidden_channels: int = PUBLISHED_HIDDEN,
    ) -> None:
        super().__init__()
        dim = generator.inner_dim
        self.patch_size = generator.config.patch_size
        self.projector = nn.Sequential(
            nn.Conv2d(dim, hidden_channels, 1),
            nn.GroupNorm(_GROUPS, hidden_channels),
            nn.GELU(),
            nn.Conv2d(hidden_channels, hidden_channels, 3, padding=1),
            nn.GroupNorm(_GROUPS, hidden_channels),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(side),
            nn.Conv2d(hidden_channels, width, 1),
        )
        self.norm = nn.LayerNorm(width)
        self._tokens: torch.Tensor | None = None
        numbered_block(generator, block).register_forward_hook(self._keep)

    def _keep(self, block: nn.Module, inputs: tuple, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        self._tokens = output[1]  # (text, image)

    @classmethod
    def for_vision_features(cls, generator: SD3Transformer2DModel, vit: VisionFeatures, block: int) -> Aligner:
        """The aligner between a generator and a ViT; a small generator gets a projector of twice its width."""
        hidden_channels = min(PUBLISHED_HIDDEN, 2 * generator.inner_dim)
        return cls(generator, block, side=vit.side, width=vit.width, hidden_channels=hidden_channels)

    def forward(self, tokens: torch.Tensor, latent_size: tuple[int, int]) -> torch.Tensor:
        """Image tokens (B, N, D) of latents h x w -> (B, G, V)."""
        rows, columns = (side // self.patch_size for side in latent_size)
        grid = tokens.transpose(1, 2).unflatten(2, (rows, columns))  # (B, D, rows, columns)
        return self.norm(self.projector(grid).flatten(2).transpose(1, 2))

    def loss(self, garment_tokens: torch.Tensor, latent_size: tuple[int, int]) -> torch.Tensor:
        """Minus the mean cosine similarity of the block's latest tokens with the garment's, (B, G, V); in [-1, 1]."""
        tokens, self._tokens = self._tokens, None
        return -F.cosine_similarity(self(tokens, latent_size).float(), garment_tokens.float(), dim=-1).mean()


def numbered_block(generator: SD3Transformer2DModel, number: int) -> nn.Module:
    """A block of the generator by its number, counted from 1 as papers do.

    Raises:
        ValueError: There is no such block.
    """
    blocks = generator.transformer_blocks
    if not 1 <= number <= len(blocks):
        raise ValueError(f"The generator has blocks 1 to {len(blocks)}, not {number}.")
    return blocks[number - 1]


def _is_dinov2(vit: nn.Module) -> bool:
    return vit.config.model_type.startswith("dinov2")  # always interpolates its position embedding

"""The built-in VAE: how it starts, the pictures that it learns from, its losses and scores.

Letters: B pictures, H W size.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import nn

from builtin_training.data import Item, read_pictures

SHARES = {"photo": 0.4, "masked": 0.1, "product": 0.5}  # shares of the kinds of pictures
BATCH = 4  # outside training


def cut_crops(items: list[Item], size: int, generator: torch.Generator) -> torch.Tensor:
    """(B, 3, size, size) in [-1, 1]: crops of the items' photos, masked images or product pictures, half mirrored."""
    kinds = torch.multinomial(torch.tensor([*SHARES.values()]), len(items), replacement=True, generator=generator)
    crops = []
    for item, number, draws in zip(items, kinds, torch.rand(len(items), 3, generator=generator).tolist(), strict=True):
        picture = read_pictures([item], tuple(SHARES)[number])[0]  # (3, H, W)
        top, left = (int(draw * (side - size + 1)) for draw, side in zip(draws[:2], picture.shape[1:], strict=True))
        crop = picture[:, top : top + size, left : left + size]
        crops.append(crop.flip(-1) if draws[2] < 0.5 else crop)
    return torch.stack(crops) / 127.5 - 1


def build_vae(block_out_channels: list[int]) -> AutoencoderKL:
    """With random weights that train well without attention or perceptual loss: every residual block starts as its
    shortcut, and no layer shrinks the signal. (With PyTorch's initialisation this VAE stays grey for long.)"""
    levels = len(block_out_channels)
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        block_out_channels=block_out_channels,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=8,
        sample_size=256,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    for name, module in vae.named_modules():
        if isinstance(module, nn.Conv2d):
            if name.endswith("conv2"):
                nn.init.zeros_(module.weight)
            else:
                nn.init.orthogonal_(module.weight)
            nn.init.zeros_(module.bias)
    return vae


def reconstruction_losses(decoded: torch.Tensor, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
    """Absolute and square errors of the pixels (B, 3, H, W) in [-1, 1], of their gradients and of their chroma."""
    error = decoded - pictures
    chroma = error - error.mean(dim=1, keepdim=True)
    gradients = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return {
        "absolute": error.abs().mean(),
        "square": error.square().mean(),
        "gradient": 0.5 * gradients,
        "chroma": chroma.abs().mean(),
    }


def reconstruction_psnr(vae: AutoencoderKL, items: list[Item], kind: str) -> float:
    """Mean PSNR in dB of whole pictures of a kind, without sampling."""
    values = []
    for start in range(0, len(items), BATCH):
        pictures = read_pictures(items[start : start + BATCH], kind).to(vae.device) / 127.5 - 1
        decoded = vae.decode(vae.encode(pictures).latent_dist.mode()).sample.clamp(-1, 1)
        values.append(-10 * ((decoded - pictures) / 2).square().mean(dim=(1, 2, 3)).log10())
    return torch.cat(values).mean().item()


def latent_statistics(vae: AutoencoderKL, items: list[Item]) -> tuple[float, float]:
    """Mean and standard deviation over all latents of the items' photos and product pictures."""
    with torch.no_grad():
        latents = torch.cat(
            [
                vae.encode(
                    read_pictures(items[start : start + BATCH], kind).to(vae.device) / 127.5 - 1
                ).latent_dist.mode()
                for kind in ("photo", "product")
                for start in range(0, len(items), BATCH)
            ]
        )
    return latents.mean().item(), latents.std().item()

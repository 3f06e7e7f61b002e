"""Trains the built-in VAE: stock `AutoencoderKL` with 16 latent channels at an eighth of the picture's size.

python -m builtin_training.train_vae --dataset_root runs/drawn --output_dir runs/vae
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
from builtin_training import part_flags
from command_line.config import parse_with_config

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL

    from builtin_training import loop
    from builtin_training.data import Item

CROPS = ((0.0, 64), (0.3, 96), (0.6, 128), (0.85, 192))  # from which progress on: crop size in pixels
SHARES = {"photo": 0.4, "masked": 0.1, "product": 0.5}  # shares of the kinds of pictures
KL_WEIGHT = 1e-4
STATISTICS_ITEMS = 256  # training items for the latents' mean and standard deviation
BATCH = 4  # outside training


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    part_flags.add_arguments(parser, steps=1500, batch_size=16, learning_rate=1e-3, ema_decay=0.995)
    parser.add_argument(
        "--block_out_channels", type=int, nargs="+", default=[16, 48, 96, 128], help="widths, from the pixels inwards"
    )
    parser.add_argument(
        "--decoder_of",
        type=Path,
        help="folder of a VAE of which only the decoder is trained further, so that its latents stay the same",
    )
    return parse_with_config(parser, argv)


def main(args: argparse.Namespace) -> None:
    import torch
    from diffusers import AutoencoderKL

    from builtin_training import data, loop

    train_items = data.read_items(args.dataset_root, "train")
    test_items = data.read_items(args.dataset_root, "test", args.num_validation_items)
    torch.manual_seed(args.seed)
    if args.decoder_of is None:
        vae = build_vae(args.block_out_channels)
    else:
        vae = AutoencoderKL.from_pretrained(args.decoder_of)
        vae.encoder.requires_grad_(False)

    def loss(vae: AutoencoderKL, step: loop.Step) -> dict[str, torch.Tensor]:
        size = [crop for start, crop in CROPS if step.progress >= start][-1]
        pictures = cut_crops([train_items[i] for i in step.items], size, step.rng).to(vae.device)
        posterior = vae.encode(pictures).latent_dist
        mean, std, variance = posterior.mean.float(), posterior.std.float(), posterior.var.float()
        latents = mean + std * torch.randn(mean.shape, generator=step.rng).to(vae.device)
        losses = reconstruction_losses(vae.decode(latents).sample.float(), pictures)
        losses["kl"] = KL_WEIGHT * 0.5 * (mean.square() + variance - 1 - variance.log()).mean()
        return losses | {"loss": sum(losses.values())}

    def validate(vae: AutoencoderKL) -> dict[str, float]:
        return {f"psnr_{kind}": reconstruction_psnr(vae, test_items, kind) for kind in SHARES}

    vae = loop.train(vae, loss=loss, validate=validate, num_items=len(train_items), args=args)
    if args.decoder_of is None:
        mean, std = latent_statistics(vae, train_items[:: max(1, len(train_items) // STATISTICS_ITEMS)])
        vae.register_to_config(shift_factor=mean, scaling_factor=1 / std)
    vae.to(torch.float16).save_pretrained(args.output_dir / "vae")
    print(f"The VAE is in {args.output_dir / 'vae'}.")


def cut_crops(items: list[Item], size: int, generator: torch.Generator) -> torch.Tensor:
    """(B, 3, size, size) in [-1, 1]: crops of the items' photos, masked images or product pictures, half mirrored."""
    import torch

    from builtin_training.data import read_pictures

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
    from diffusers import AutoencoderKL
    from torch import nn

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
    import torch

    from builtin_training.data import read_pictures

    values = []
    for start in range(0, len(items), BATCH):
        pictures = read_pictures(items[start : start + BATCH], kind).to(vae.device) / 127.5 - 1
        decoded = vae.decode(vae.encode(pictures).latent_dist.mode()).sample.clamp(-1, 1)
        values.append(-10 * ((decoded - pictures) / 2).square().mean(dim=(1, 2, 3)).log10())
    return torch.cat(values).mean().item()


def latent_statistics(vae: AutoencoderKL, items: list[Item]) -> tuple[float, float]:
    """Mean and standard deviation over all latents of the items' photos and product pictures."""
    import torch

    from builtin_training.data import read_pictures

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


if __name__ == "__main__":
    command_line.run(main, parse_args())

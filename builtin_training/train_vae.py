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

CROPS = ((0.0, 64), (0.3, 96), (0.6, 128), (0.85, 192))  # from which progress on: crop size in pixels
KL_WEIGHT = 1e-4
STATISTICS_ITEMS = 256  # training items for the latents' mean and standard deviation


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
    from builtin_training.vae import (
        SHARES,
        build_vae,
        cut_crops,
        latent_statistics,
        reconstruction_losses,
        reconstruction_psnr,
    )

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


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Trains the built-in text and vision encoders together: two CLIP pairs by contrast, and all of them by linear heads.

    python -m builtin_training.train_encoders --dataset_root runs/drawn --output_dir runs/encoders

The vision encoders see photos and product pictures, and their embeddings are pulled towards the text embedding of the
garment's caption. Linear heads, discarded afterwards, make the embeddings hold more than what distinguishes captions:
vision embeddings predict the garment's attributes and a thumbnail of its product picture, text embeddings the
attributes.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import command_line
from builtin_training import part_flags
from command_line.config import parse_with_config

if TYPE_CHECKING:
    import torch

    from builtin_training import loop
    from builtin_training.data import Item
    from builtin_training.encoders import Encoders


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    part_flags.add_arguments(parser, steps=900, batch_size=32, learning_rate=1e-3, ema_decay=0.99)
    return parse_with_config(parser, argv)


def main(args: argparse.Namespace) -> None:
    import torch
    from torch.nn import functional as F

    from builtin_training import data, loop
    from builtin_training.encoders import (
        THUMBNAIL,
        Encoders,
        build_image_processor,
        build_tokenizers,
        evaluate,
        shortened,
    )

    train_items = data.read_items(args.dataset_root, "train")
    test_items = data.read_items(args.dataset_root, "test", args.num_validation_items)
    processor = build_image_processor()
    torch.manual_seed(args.seed)
    encoders = Encoders(build_tokenizers([item.caption for item in train_items]))

    def prepare(items: list[Item]) -> tuple[torch.Tensor, torch.Tensor]:
        products = data.read_pictures(items, "product")
        pixel_values = processor([*data.read_pictures(items, "photo"), *products], return_tensors="pt").pixel_values
        return pixel_values, F.adaptive_avg_pool2d(products / 255, THUMBNAIL).to(encoders.device)

    def loss(encoders: Encoders, step: loop.Step) -> dict[str, torch.Tensor]:
        items = [shortened(train_items[i], step.rng) for i in step.items]
        losses = encoders.losses(items, *prepare(items))
        losses["loss"] = losses["contrast"] + losses["attributes"] + 5 * losses["thumbnail"]
        return losses

    def validate(encoders: Encoders) -> dict[str, float]:
        return evaluate(encoders, test_items, *prepare(test_items))

    encoders = loop.train(encoders, loss=loss, validate=validate, num_items=len(train_items), args=args)
    encoders.save_pretrained(args.output_dir)
    print(f"The encoders, their tokenizers and the image processor are in {args.output_dir}.")


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Trains the built-in segmenter: stock SegFormer, small, with the labels of the clothes model and one for open jackets.

    python -m drawn_people --train 1500 --test 34 --layers 0.5 --seed 43 --output runs/layered
    python -m builtin_training.train_segmenter --dataset_root runs/layered --output_dir runs/segmenter

With --start it begins with a trained segmenter, whose labels come first in its own.
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
    from transformers import SegformerForSemanticSegmentation

    from builtin_training import loop


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    part_flags.add_arguments(parser, steps=5000, batch_size=12, learning_rate=2e-3, ema_decay=0.99)
    parser.add_argument("--start", type=Path, help="folder of a segmenter to begin with; default: from scratch")
    return parse_with_config(parser, argv)


def main(args: argparse.Namespace) -> None:
    import torch
    from torch.nn import functional as F

    from builtin_training import data, loop
    from builtin_training.segmenter import (
        OVERLAP_WEIGHT,
        augment,
        build_segmenter,
        build_segmenter_processor,
        empty_some,
        garment_iou,
        normalize,
        overlap_loss,
        start_from,
    )

    train_items = data.read_items(args.dataset_root, "train")
    test_items = data.read_items(args.dataset_root, "test", args.num_validation_items)
    torch.manual_seed(args.seed)
    processor = build_segmenter_processor()
    segmenter = build_segmenter()
    if args.start is not None:
        start_from(segmenter, args.start)

    def loss(segmenter: SegformerForSemanticSegmentation, step: loop.Step) -> dict[str, torch.Tensor]:
        items = [train_items[i] for i in step.items]
        labels = data.read_label_maps(items, layers=True)
        pictures, labels = augment(data.read_pictures(items, "photo") / 255, labels, step.rng)
        empty_some(pictures, labels, step.rng)
        logits = segmenter(normalize(pictures, processor).to(segmenter.device)).logits.float()
        logits = F.interpolate(logits, labels.shape[-2:], mode="bilinear")  # (B, labels, H, W)
        labels = labels.long().to(logits.device)
        return {"loss": F.cross_entropy(logits, labels) + OVERLAP_WEIGHT * overlap_loss(logits, labels)}

    def validate(segmenter: SegformerForSemanticSegmentation) -> dict[str, float]:
        return garment_iou(segmenter, processor, test_items)

    segmenter = loop.train(segmenter, loss=loss, validate=validate, num_items=len(train_items), args=args)
    segmenter.to(torch.float16).save_pretrained(args.output_dir / "segmenter")
    processor.save_pretrained(args.output_dir / "segmenter")
    print(f"The segmenter is in {args.output_dir / 'segmenter'}.")


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Trains the classifier of patterns on true product pictures: plain, stripes, checks, dots or a print.

python -m builtin_training.train_pattern_classifier --dataset_root runs/drawn --output_dir runs/pattern_classifier
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
    from builtin_training.pattern_classifier import PatternClassifier


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    part_flags.add_arguments(parser, steps=1500, batch_size=32, learning_rate=3e-3, ema_decay=0.99)
    return parse_with_config(parser, argv)


def main(args: argparse.Namespace) -> None:
    import torch
    from torch.nn import functional as F

    from builtin_training import data, loop
    from builtin_training.pattern_classifier import PatternClassifier, vary
    from drawn_people import PATTERNS

    train_items = data.read_items(args.dataset_root, "train")
    test_items = data.read_items(args.dataset_root, "test", args.num_validation_items)
    torch.manual_seed(args.seed)

    def loss(classifier: PatternClassifier, step: loop.Step) -> dict[str, torch.Tensor]:
        items = [train_items[i] for i in step.items]
        pictures = vary(data.read_pictures(items, "product") / 255 - 0.5, step.rng)
        truth = torch.tensor([PATTERNS.index(item.pattern) for item in items])
        return {
            "loss": F.cross_entropy(classifier(pictures.to(classifier.device)).float(), truth.to(classifier.device))
        }

    def validate(classifier: PatternClassifier) -> dict[str, float]:
        found = classifier.patterns(data.read_pictures(test_items, "product") / 255)
        right = [pattern == item.pattern for pattern, item in zip(found, test_items, strict=True)]
        return {"right": sum(right) / len(right)}

    classifier = loop.train(PatternClassifier(), loss=loss, validate=validate, num_items=len(train_items), args=args)
    classifier.cpu().save_pretrained(args.output_dir)
    print(f"The pattern classifier is in {args.output_dir}.")


if __name__ == "__main__":
    command_line.run(main, parse_args())

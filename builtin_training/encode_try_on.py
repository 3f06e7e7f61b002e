"""Draws people in each other's garments and encodes them for `train_try_on`, shard by shard; it resumes.

    python -m builtin_training.encode_try_on --shards 100 --output_dir runs/try_on/encoded

A shard holds 16 people of each category, each in three garments of the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import command_line
from command_line.config import add_config_flag, parse_with_config
from temu_vtoff.builtin import BUILTIN


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add_config_flag(parser)
    add = parser.add_argument
    add("--output_dir", type=Path, required=True, help="folder of the shards")
    add("--shards", type=command_line.positive, default=100, help="shards, of 48 people each")
    add("--seed", type=int, default=77, help="random seed: another one draws other people")
    add("--pretrained_model_name_or_path", default=BUILTIN, help="try-off model whose VAE and image encoders are used")
    add("--segmentation_model", default=BUILTIN, help="SegFormer")
    return parse_with_config(parser, argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    import torch

    from builtin_training.try_on_shards import encode_shard, shard_seeds
    from temu_vtoff.hardware.cpu import keep_freed_memory
    from temu_vtoff.stages.models import load_segmenter
    from temu_vtoff.stages.options import Options
    from temu_vtoff.training.initialization import load_frozen
    from temu_vtoff.tryoff.pipeline import TryOffPipeline

    encoders = dict.fromkeys(("image_encoder_large", "image_encoder_bigG"))
    parts = load_frozen(args.pretrained_model_name_or_path, encoders)
    pipeline = TryOffPipeline(**parts)
    keep_freed_memory()
    pipeline.vae.to(memory_format=torch.channels_last)
    segmenter = load_segmenter(Options(segmenter=args.segmentation_model, device="cpu"))
    for name, first in command_line.progress(list(shard_seeds(args.seed, args.shards)), "encoding"):
        if not (args.output_dir / name).exists():
            encode_shard(args.output_dir / name, first, pipeline, segmenter)


if __name__ == "__main__":
    command_line.run(main, parse_args())

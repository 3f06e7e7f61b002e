"""Gathers a try-on model that `train_try_on` trained, in half precision, into a folder that try_on.py opens.

    python -m builtin_training.assemble_try_on --run runs/try_on/model --output_dir runs/try_on/whole

`--output_dir temu_vtoff/builtin/tryon --without_shared` is for shipping: it leaves out VAE and image encoders,
which the built-in try-off model holds.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import command_line
from builtin_training.assemble import check_sizes
from temu_vtoff.builtin import BUILTIN, FOLDER, resolve

SHARED = ("vae", "image_encoder_large", "image_encoder_bigG", "feature_extractor")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--run", type=Path, required=True, help="folder of the run, or its best/")
    add("--output_dir", type=Path, required=True, help="replaced as a whole")
    add("--without_shared", action="store_true", help="leave out what the built-in try-off model holds")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    import torch

    from temu_vtoff import TryOnPipeline
    from temu_vtoff.tryoff.loading import LoadingOptions, load_component

    tryoff, options = resolve(BUILTIN, "tryoff"), LoadingOptions(dtype=torch.float16)
    shared = {name: load_component(name, tryoff, name, options) for name in SHARED}
    pipeline = TryOnPipeline.from_pretrained(args.run, torch_dtype=torch.float16, **shared)
    pipeline.pose_guider.register_to_config(reads="labels")
    for part in (pipeline.transformer_vton, pipeline.transformer_garm, pipeline.pose_guider):
        part.register_to_config(_name_or_path=args.run.name)  # instead of a path of this machine
    shutil.rmtree(args.output_dir, ignore_errors=True)
    pipeline.save_pretrained(args.output_dir)
    if args.without_shared:
        for name in SHARED:
            shutil.rmtree(args.output_dir / name)
    check_sizes(FOLDER if args.output_dir.resolve().is_relative_to(FOLDER) else args.output_dir)


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Trains the built-in transformers on drawn people: train.py, with what only a small model from fresh weights needs.

    python -m builtin_training.train_transformers --config configs/builtin/joint.json configs/builtin/joint_start.json

It has every flag of train.py. Further losses supervise where in the photo the generator looks
(--correspondence_weight), and make a fresh extractor predict the garment (--regress_weight).
"""

from __future__ import annotations

import argparse
import time

import command_line
import command_line.training
from builtin_training.settings import BuiltinSettings
from temu_vtoff import training


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    command_line.training.add_flags(parser, BuiltinSettings)
    add = command_line.training.adder(parser.add_argument_group("for small models"), BuiltinSettings)
    add("optimizer", help="muon: orthogonalized steps for the blocks' matrices, AdamW for the rest")
    add("patch_size", type=command_line.positive, help="side of a token's patch in the latents; default: the model's")
    add("qk_norm", help="normalise the generator's queries and keys; fresh weights only")
    add("random_flip", action="store_true", help="train on mirrored pictures as well; every item then counts twice")
    add("regress_weight", type=float, help="weight of the garment's regression; stage joint only; 0 is off")
    add("correspondence_weight", type=float, help="weight of the supervision of the generator's attention; 0 is off")
    add("correspondence_block", type=int, nargs="+", help="blocks that are supervised, counted from 1")
    add("correspondence_dir", help="DATA/truth/correspondences of python -m drawn_people --correspondences")
    return command_line.training.parse(parser, argv)


def main(args: argparse.Namespace) -> int:
    from builtin_training.setup import BuiltinSetup

    started = time.time()
    settings = BuiltinSettings.from_flags(vars(args))
    command_line.quiet_libraries()
    outcome = training.train(settings, arguments=vars(args), started=started, setup_class=BuiltinSetup)
    return command_line.training.report(outcome, settings.output_dir)


if __name__ == "__main__":
    command_line.run(main, parse_args())

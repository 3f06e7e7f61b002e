"""Draws dressed people with ground truth into a folder, in DressCode's or VITON-HD's layout.

    python -m drawn_people --layout dresscode --train 1000 --test 100 --seed 0 --output data/drawn_dresscode
    python -m drawn_people --layout vitonhd --train 1000 --test 100 --seed 0 --output data/drawn_vitonhd

Counts are per category (VITON-HD has upper bodies only). An interrupted run resumes when it is started again.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import command_line
from command_line.config import add_config_flag, parse_with_config
from drawn_people.patterns import PLAIN_SHARE


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    parser.prog = "python -m drawn_people"
    add_config_flag(parser)
    add = parser.add_argument_group("what").add_argument
    add("--layout", choices=("dresscode", "vitonhd"), default="dresscode", help="folder layout to write")
    add("--train", type=int, default=1000, help="training people per category")
    add("--test", type=int, default=100, help="test people per category; never the training people")
    add("--seed", type=int, default=0, help="random seed; the same seed gives the same bytes")
    add("--plain", type=float, default=PLAIN_SHARE, help="share of plain garments among the training people, 0 to 1")
    add("--layers", type=float, default=0.0, help="share of people with an open jacket over the garment, 0 to 1")
    add("--letters", type=float, default=0.0, help="share of upper-body garments with a word on them, 0 to 1")
    add("--width", type=int, default=192, help="width in pixels; 3:4 with the height")
    add("--height", type=int, default=256, help="height in pixels")
    add(
        "--correspondences",
        action="store_true",
        help="also write where in the photo each place of the product picture is seen",
    )
    add = parser.add_argument_group("where and how").add_argument
    add("--output_dir", "--output", type=Path, required=True, help="folder to write to, made when absent")
    add("--workers", type=command_line.positive, default=2, help="processes that draw")
    return parse_with_config(parser, argv)


def main(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from drawn_people.layouts import People, write_dresscode, write_vitonhd
    from temu_vtoff.files import writable_folder

    people = People(
        train=args.train,
        test=args.test,
        seed=args.seed,
        width=args.width,
        height=args.height,
        plain=args.plain,
        correspondences=args.correspondences,
        layers=args.layers,
        letters=args.letters,
    )
    total = (args.train + args.test) * (3 if args.layout == "dresscode" else 1)
    progress = partial(tqdm, total=total, desc="drawing", unit="person")
    write = write_dresscode if args.layout == "dresscode" else write_vitonhd
    write(writable_folder(args.output_dir), people, args.workers, progress)
    print(f"{total} people in {args.output_dir}", file=sys.stderr)


if __name__ == "__main__":
    command_line.run(main, parse_args())

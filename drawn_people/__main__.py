"""Draws dressed people with ground truth into a folder, in DressCode's or VITON-HD's layout.

    python -m drawn_people --layout dresscode --train 1000 --test 100 --seed 0 --output data/drawn_dresscode
    python -m drawn_people --layout vitonhd --train 1000 --test 100 --seed 0 --output data/drawn_vitonhd

Counts are per category (VITON-HD has upper bodies only). A run that was interrupted goes on where it stopped.
"""

import argparse
import sys
from functools import partial
from pathlib import Path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m drawn_people", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--layout", choices=("dresscode", "vitonhd"), default="dresscode", help="folder layout to write"
    )
    parser.add_argument("--train", type=int, default=1000, help="training people per category")
    parser.add_argument("--test", type=int, default=100, help="test people per category; never the training people")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    parser.add_argument("--width", type=int, default=192, help="width in pixels; 3:4 with the height")
    parser.add_argument("--height", type=int, default=256, help="height in pixels")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to, made when absent")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from drawn_people.layouts import write_dresscode, write_vitonhd
    from temu_vtoff.files import writable_folder

    if args.workers < 1:
        raise ValueError(f"--workers {args.workers} is not possible; give 1 or more.")
    total = (args.train + args.test) * (3 if args.layout == "dresscode" else 1)
    write = write_dresscode if args.layout == "dresscode" else write_vitonhd
    write(
        writable_folder(args.output),
        args.train,
        args.test,
        args.seed,
        args.width,
        args.height,
        args.workers,
        partial(tqdm, total=total, desc="drawing", unit="person"),
    )
    print(f"{total} people in {args.output}", file=sys.stderr)


if __name__ == "__main__":
    from command_line import run

    arguments = parse_args()
    run(main, arguments)

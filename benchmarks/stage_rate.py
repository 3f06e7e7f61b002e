"""Shared by bench_segment and bench_caption: photos per second of one stage against batch size, on drawn people."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import command_line
from drawn_people import draw_person

if TYPE_CHECKING:
    import torch
    from PIL import Image

CATEGORY = "upper_body"


def parse_args(description: str, model: str, argv: list[str] | None) -> argparse.Namespace:
    """The flags of both scripts.

    Args:
        model: The kind of model, for the help.
    """
    parser = command_line.parser(description)
    add = parser.add_argument
    add("--model", default="builtin", help=f"{model}: hub id, folder or builtin")
    add("--batch_size", nargs="+", type=command_line.positive, default=[1, 4, 8], help="photos at once")
    add("--repeats", type=command_line.positive, default=3, help="repeats of each batch, after one warm-up")
    command_line.add_device_flags(parser, offload=False)
    return parser.parse_args(argv)


def measure(
    kind: str,
    args: argparse.Namespace,
    load: Callable[[str, "torch.device"], Callable[[list["Image.Image"]], Any]],
) -> None:
    """Measures a stage and writes a row for each batch size.

    Args:
        kind: Name of the stage and of its file in results/.
        load: Takes the model's source and the device; returns a function of a list of photos.
    """
    from benchmarks import measuring
    from temu_vtoff.hardware.devices import choose_device

    device = choose_device(args.device)
    serve = load(args.model, device)
    photos = [draw_person(900 + i, CATEGORY).photo for i in range(max(args.batch_size))]
    works = {size: lambda size=size: serve(photos[:size]) for size in args.batch_size}
    for size, times in measuring.in_turn(works, device, args.repeats).items():
        measuring.write_rate(kind, args.model, device=device, batch=size, times=times)

"""Times captioning: photos per second against batch size, on drawn people.

    python -m benchmarks.bench_caption --model builtin --batch_size 1 4 8

One row for each batch size goes to benchmarks/results/caption.jsonl.
"""

import argparse

import command_line
from drawn_people import draw_person

CATEGORY = "upper_body"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--model", default="builtin", help="Qwen2.5-VL: hub id, folder or builtin")
    add("--batch_size", nargs="+", type=command_line.positive, default=[1, 4, 8], help="photos at once")
    add("--repeats", type=command_line.positive, default=3, help="of each batch, after one to warm up")
    command_line.add_device_flags(parser, offload=False)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    from benchmarks import measuring
    from temu_vtoff.captioning import Captioner
    from temu_vtoff.devices import choose_device

    device = choose_device(args.device)
    captioner = Captioner.from_pretrained(args.model, device=device)
    photos = [draw_person(900 + i, CATEGORY).photo for i in range(max(args.batch_size))]
    works = {size: lambda size=size: captioner(photos[:size], CATEGORY) for size in args.batch_size}
    for size, times in measuring.in_turn(works, device, args.repeats).items():
        measuring.write_rate("caption", args.model, device, size, times)


if __name__ == "__main__":
    arguments = parse_args()
    command_line.run(main, arguments)

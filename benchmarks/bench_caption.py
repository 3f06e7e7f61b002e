"""Times captioning: photos per second against batch size, on drawn people.

    python -m benchmarks.bench_caption --model builtin --batch_size 1 4 8

One row for each batch size goes to benchmarks/results/caption.jsonl.
"""

import argparse

import command_line
from benchmarks import stage_rate


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    return stage_rate.parse_args(__doc__, "Qwen2.5-VL", argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    from temu_vtoff.captioning.captioner import Captioner

    def load(model, device):
        captioner = Captioner.from_pretrained(model, device=device)
        return lambda photos: captioner(photos, stage_rate.CATEGORY)

    stage_rate.measure("caption", args, load)


if __name__ == "__main__":
    command_line.run(main, parse_args())

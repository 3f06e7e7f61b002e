"""Times segmentation: photos per second against batch size, on drawn people.

    python -m benchmarks.bench_segment --model builtin --batch_size 1 4 8

One row for each batch size goes to benchmarks/results/segment.jsonl.
"""

import argparse

import command_line
from benchmarks import stage_rate


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    return stage_rate.parse_args(__doc__, "SegFormer", argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    from temu_vtoff.segmentation.segmenter import ClothSegmenter

    stage_rate.measure("segment", args, lambda model, device: ClothSegmenter.from_pretrained(model, device).label_maps)


if __name__ == "__main__":
    command_line.run(main, parse_args())

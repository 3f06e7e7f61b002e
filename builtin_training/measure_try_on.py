"""Scores a try-on model on drawn people that no training used, in garments of others, through the built-in segmenter.

    python -m builtin_training.measure_try_on --tryon_model runs/try_on/whole --count 30

The truth is the same person drawn in the other's garment. Beside the model stand two baselines: the person left as is,
and the garment's picture pasted into the region, scaled to the old garment. "transfer" takes the garment off the other
person's photo first. Writes scores.json, table.md, and people.png with the first people of each category as photo,
garment, picture and truth.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import command_line
from command_line.config import add_config_flag, parse_with_config
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.files import writable_folder, write_text
from temu_vtoff.runs.record import write_run_record

VARIANTS = ("product", "transfer", "person_as_is", "product_pasted")
SHOWN = 4  # people of each category


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add_config_flag(parser)
    add = parser.add_argument
    add("--tryon_model", default=BUILTIN, help="model to measure: a folder or builtin")
    add("--count", type=command_line.positive, default=30, help="people per category, two at least")
    add("--output_dir", default="runs/measure_try_on", help="folder for scores.json, table.md and people.png")
    add("--variants", nargs="+", default=[*VARIANTS], choices=VARIANTS, help="what is measured")
    add("--num_inference_steps", type=command_line.positive, default=28, help="sampling steps")
    add("--guidance_scale", type=float, help="default: 2; 1 or less turns guidance off")
    add("--batch_size", type=command_line.positive, default=8, help="people at once")
    return parse_with_config(parser, argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    from builtin_training.try_on_cases import draw_cases, find_regions, make, means, score, show
    from temu_vtoff import TryOn, TryOnOptions
    from temu_vtoff.errors import ArgumentError

    started = time.time()
    if args.count < 2:
        raise ArgumentError(f"{{count}} is {args.count}; give 2 or more: everybody wears another's garment.", "count")
    folder = writable_folder(args.output_dir)
    options = TryOnOptions(
        tryon=args.tryon_model,
        base=BUILTIN,
        tryoff=BUILTIN,
        segmenter=BUILTIN,
        region="tight",
        precision="no",
        compile=False,
        num_inference_steps=args.num_inference_steps,
        guidance_scale=args.guidance_scale,
        batch_size=args.batch_size,
    )
    toolkit = TryOn(options, keep_loaded=True, progress=command_line.progress)
    cases = find_regions(draw_cases(args.count), toolkit)
    scores: dict[str, dict[str, Any]] = {}
    for variant in args.variants:
        pictures = make(cases, variant, toolkit)
        rows = [score(case, picture, toolkit) for case, picture in zip(cases, pictures, strict=True)]
        scores[variant] = means(cases, rows)
        if variant == VARIANTS[0]:
            show(cases, pictures, folder / "people.png", SHOWN)
    write_text(folder / "scores.json", json.dumps(scores, indent=1) + "\n")
    write_text(folder / "table.md", table(scores))
    write_run_record(folder, vars(args), started, people=len(cases), **toolkit.taken)
    print(table(scores))


def table(scores: dict[str, dict[str, Any]]) -> str:
    """The variants' scores over all categories in Markdown."""
    columns = list(next(iter(scores.values()))["all"])
    lines = [f"| variant | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
    for name, groups in scores.items():
        values = groups["all"]
        lines.append(f"| {name} | {' | '.join(f'{values[column]:.3f}' for column in columns)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    command_line.run(main, parse_args())

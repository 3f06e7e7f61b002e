"""What each preset costs in quality: scores of the built-in model against the truth, on held-out people.

    python -m benchmarks.bench_quality --count 24

Photos go through the built-in segmenter and captioner first, as in builtin_training/measure.py. Everything is measured
under two guidances, the built-in model's and the published model's. One row for each preset goes to
benchmarks/results/quality.jsonl, and tables to the screen: the scores, and their change from "exact".
"""

import argparse
from functools import partial

import command_line
from benchmarks.tables import SCORES, with_changes
from builtin_training.cases import Sampling, draw_cases, segment_and_caption
from temu_vtoff.tryoff.presets import PRESETS, Preset

TRIALS = {
    "UniPC, 12 steps": Preset(steps=12, solver="unipc"),
    "UniPC, 7": Preset(steps=7, solver="unipc"),
    "UniPC, 5": Preset(steps=5, solver="unipc"),
    "Euler, 9": Preset(steps=9),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--count", type=command_line.positive, default=24, help="people per category")
    add("--preset", nargs="+", default=list(PRESETS), choices=PRESETS, help="presets to score, besides exact")
    add("--trials", action="store_true", help="also score the settings that the presets were chosen from")
    add("--batch_size", type=command_line.positive, default=12, help="people at once")
    command_line.add_device_flags(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    from benchmarks.measuring import timed, write_row
    from builtin_training.products import make_products
    from builtin_training.scores import score
    from temu_vtoff import TryOff
    from temu_vtoff.hardware.devices import choose_device, choose_dtype
    from temu_vtoff.stages.models import load_pipeline
    from temu_vtoff.stages.options import Options

    device = choose_device(args.device)
    cases = draw_cases(args.count)
    segment_and_caption(cases, TryOff(Options(device=args.device, batch_size=args.batch_size)))
    dtype = choose_dtype(args.mixed_precision, device)
    options = Options(device=args.device, precision=args.mixed_precision, offload=args.offload)
    pipe = load_pipeline(options).pipe

    presets = {name: PRESETS[name] for name in ("exact", *args.preset)} | (TRIALS if args.trials else {})
    for guidance in ("own", "published"):
        pipe.register_to_config(negative_reference=guidance == "published")
        print(f"| {guidance} guidance | {' | '.join(SCORES)} |", "| --- " * (len(SCORES) + 1) + "|", sep="\n")
        exact = None
        for name, preset in presets.items():
            sampling = Sampling(preset=preset, batch_size=args.batch_size)
            products, took = timed(partial(make_products, pipe, cases, "full", sampling), device)
            scores = score(products, cases, judge=None)
            exact = scores if exact is None else exact
            print(f"| {name} | {' | '.join(with_changes(scores, exact))} |", flush=True)
            row = {"guidance": guidance, "preset": name, "people": len(cases), "dtype": str(dtype)}
            write_row("quality", row | {"seconds": round(took, 1), "scores": scores})


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Times the generation of product pictures, preset by preset, against a plain statement of the published computation.

    python -m benchmarks.bench_generation --scale builtin sd3-reduced --vs reference
    python -m benchmarks.bench_generation --scale sd3-medium --preset exact --offload model --batch_size 1 4

The denoising loops of the reference and of all presets alternate in one process; the speed-up is the ratio of medians.
One row for each scale, batch size and preset goes to benchmarks/results/generation.jsonl.
"""

import argparse

import command_line
from benchmarks import SCALES
from temu_vtoff.hardware import ATTENTION_BACKENDS
from temu_vtoff.tryoff.presets import PRESETS


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--scale", nargs="+", choices=SCALES, help="model sizes; default: builtin, on a GPU also sd3-medium")
    add("--preset", nargs="+", default=list(PRESETS), choices=PRESETS, help="presets to time")
    add("--vs", choices=("reference",), help="also time the plain computation, and compare the outputs")
    add("--batch_size", nargs="+", type=command_line.positive, default=[1], help="photos at once")
    add("--num_inference_steps", type=command_line.positive, help="default: 28, and each preset's own")
    add("--repeats", type=command_line.positive, default=3, help="repeats of each denoising loop, after one warm-up")
    add("--compile", action=argparse.BooleanOptionalAction, default=True, help="compile the transformers' blocks")
    add("--attention_backend", choices=ATTENTION_BACKENDS, help="kernel; default: the fastest available")
    command_line.add_device_flags(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    from benchmarks.generation import BenchmarkSettings, measure
    from temu_vtoff.hardware.devices import choose_device, choose_dtype
    from temu_vtoff.hardware.quantization import has_fp8

    device = choose_device(args.device)
    scales = args.scale
    if scales is None:
        scales = ["builtin", "sd3-medium"] if device.type == "cuda" else ["builtin"]
    for scale in scales:
        for batch in args.batch_size:
            for fp8 in (False, True):  # fp8 changes the weights: it needs a pipeline of its own
                presets = [name for name in args.preset if (PRESETS[name].fp8 and has_fp8(device)) == fp8]
                if not presets:
                    continue
                settings = BenchmarkSettings(
                    scale=scale,
                    batch=batch,
                    device=device,
                    dtype=choose_dtype(args.mixed_precision, device),
                    offload=args.offload,
                    steps=args.num_inference_steps,
                    compile=args.compile,
                    attention_backend=args.attention_backend,
                    fp8=fp8,
                    reference=args.vs is not None,
                    repeats=args.repeats,
                )
                measure(settings, presets)


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Times the making of product pictures, preset by preset, against the plain published computation.

    python -m benchmarks.bench_generation --scale builtin sd3-reduced --vs reference
    python -m benchmarks.bench_generation --scale sd3-medium --preset exact --offload model --batch_size 1 4

The denoising loops of the reference and of all presets take turns in one process; the ratio is that of their medians.
One row for each scale, batch size and preset goes to benchmarks/results/generation.jsonl.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import command_line
from drawn_people import draw_person
from temu_vtoff.hardware import ATTENTION_BACKENDS

if TYPE_CHECKING:
    import torch

    from benchmarks.measuring import Stages
    from temu_vtoff import TryOffPipeline

SCALES = ("builtin", "sd3-reduced", "sd3-medium")
CATEGORY, SEED = "upper_body", 901  # of the person drawn
GUIDANCE_SCALE, REFERENCE_STEPS = 2.0, 28
STAGES = {
    "encode": ("encode_captions", "encode_image", "encode_latents"),
    "extract": ("extract_reference",),
    "denoise": ("denoise",),
    "decode": ("decode_latents",),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    from temu_vtoff.tryoff.presets import PRESETS

    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--scale", nargs="+", choices=SCALES, help="when absent builtin, and on a GPU sd3-medium too")
    add("--preset", nargs="+", default=list(PRESETS), choices=PRESETS, help="what to time")
    add("--vs", choices=("reference",), help="time the plain computation too, and compare the outputs")
    add("--batch_size", nargs="+", type=command_line.positive, default=[1], help="photos at once")
    add("--num_inference_steps", type=command_line.positive, help="of all, instead of 28 and the presets' own")
    add("--repeats", type=command_line.positive, default=3, help="of each denoising, after one to warm up")
    add("--compile", action=argparse.BooleanOptionalAction, default=True, help="compile the transformers' blocks")
    add("--attention_backend", choices=ATTENTION_BACKENDS, help="kernel; the fastest at hand when absent")
    command_line.add_device_flags(parser)
    return parser.parse_args(argv)


def measure(
    args: argparse.Namespace, scale: str, batch: int, presets: list[str], device: "torch.device", fp8: bool
) -> None:
    """Writes the rows of some presets that share a pipeline."""
    import torch

    from benchmarks import measuring
    from benchmarks.reference import stock
    from benchmarks.scales import build
    from temu_vtoff.hardware.acceleration import choose_attention_backend, speed_up
    from temu_vtoff.hardware.devices import choose_dtype, place
    from temu_vtoff.runs.record import peak_memory_mb
    from temu_vtoff.tryoff.presets import PRESETS

    dtype = choose_dtype(args.mixed_precision, device)
    pipe = build(scale, device, dtype)
    plain = [stock(model) for model in (pipe.transformer, pipe.transformer_vton)] if args.vs is not None else None
    offload = place(pipe, device, args.offload)
    compiled = args.compile and offload != "sequential"
    backend = args.attention_backend
    speed_up(pipe, compiled, backend, fp8)
    backend = choose_attention_backend(device, dtype) if backend is None else backend
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    stages = {preset: whole_call(pipe, batch, preset, args.num_inference_steps, device) for preset in presets}
    latents, prompt, pooled, features, *_ = stages[presets[0]].arguments["denoise"]

    def loop(name: str) -> Callable[[], "torch.Tensor"]:
        preset = PRESETS[name]
        steps = preset.steps if args.num_inference_steps is None else args.num_inference_steps
        return lambda: pipe.denoise(latents, prompt, pooled, features, GUIDANCE_SCALE, preset, steps)

    loops = {name: loop(name) for name in presets}
    if plain is not None:
        given = (latents, prompt, pooled, *stages[presets[0]].arguments["extract_reference"])
        loops = {"reference": reference_loop(pipe, plain, given, args.num_inference_steps)} | loops
    times = measuring.in_turn(loops, device, args.repeats)
    outputs = {name: work() for name, work in loops.items()} if plain is not None else {}

    height, width = latents.shape[-2:]
    tokens = height * width // pipe.transformer.config.patch_size**2
    per_branch = measuring.denoising_flops(pipe.transformer.config, tokens, prompt.shape[1])
    for name in presets:
        preset, summary = PRESETS[name], measuring.summary(times[name])
        steps = preset.steps if args.num_inference_steps is None else args.num_inference_steps
        branches = sum(1 + preset.is_guided(step, steps) for step in range(steps))
        row = {
            "scale": scale,
            "preset": name,
            "batch": batch,
            "steps": steps,
            "branches": branches,  # evaluations, each guided step being two
            "size": [width * pipe.vae_scale_factor, height * pipe.vae_scale_factor],
            "device": measuring.device_name(device),
            "dtype": str(dtype).removeprefix("torch."),
            "compiled": compiled,
            "attention": backend,
            "offload": offload,
            "fp8": fp8,
            "denoise_seconds": summary,
            "stage_seconds": {stage: round(s, 4) for stage, s in stages[name].seconds.items()},
            "peak_memory_mb": peak_memory_mb(),
            "product_tflops": round(measuring.product_rate(device, dtype), 3),
        }
        if preset.cache_threshold == 0:  # else it isn't known how many blocks were spared
            row["denoise_tflops"] = round(per_branch * branches * batch / summary["median"] / 1e12, 3)
        if plain is not None:
            row["reference_seconds"] = measuring.summary(times["reference"])
            row["speedup"] = round(statistics.median(times["reference"]) / statistics.median(times[name]), 3)
            row["max_difference"] = float((outputs[name] - outputs["reference"]).abs().max())
        measuring.write_row("generation", row)
        print(told(row))


def whole_call(pipe: "TryOffPipeline", batch: int, preset: str, steps: int | None, device: "torch.device") -> "Stages":
    """Stages' seconds of a warm call on a drawn person."""
    import numpy as np
    import torch
    from PIL import Image

    from benchmarks.measuring import Stages, seconds
    from temu_vtoff.segmentation.masks import CATEGORY_LABELS

    person = draw_person(SEED, CATEGORY)
    worn = Image.fromarray(np.isin(np.asarray(person.label_map), CATEGORY_LABELS[CATEGORY]).astype(np.uint8) * 255)

    def call() -> list[Image.Image]:
        return pipe(
            [person.photo] * batch,
            mask=[worn] * batch,
            prompt=person.garments[CATEGORY].caption,
            preset=preset,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE_SCALE,
            generator=torch.Generator().manual_seed(0),
        ).images

    call()
    with Stages(pipe, STAGES, device) as stages, tempfile.TemporaryDirectory() as folder:
        pictures = call()
        stages.seconds["write"] = seconds(lambda: pictures[0].save(Path(folder) / "picture.png"), device)
    return stages


def reference_loop(
    pipe: "TryOffPipeline", plain: list[Any], given: tuple[Any, ...], steps: int | None
) -> Callable[[], "torch.Tensor"]:
    """The plain computation of the same picture; its extractor runs here, once, beforehand."""
    import torch

    from benchmarks import reference

    latents, prompt, pooled, person, embeds, _ = given
    generator, extractor = plain
    with torch.no_grad():
        both = torch.cat([torch.zeros_like(embeds), embeds]).to(prompt)
        found = reference.extract(extractor, torch.cat([person, person]).to(prompt), both)
    scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    steps = REFERENCE_STEPS if steps is None else steps

    def loop() -> "torch.Tensor":
        with torch.no_grad():
            return reference.denoise(generator, scheduler, latents, prompt, pooled, found, steps, GUIDANCE_SCALE)

    return loop


def told(row: dict[str, Any]) -> str:
    """A row in short."""
    line = f"{row['scale']} {row['preset']} batch {row['batch']}: {row['denoise_seconds']['median']:.3f} s"
    if "speedup" in row:
        line += f", {row['speedup']:.2f} x the reference, difference {row['max_difference']:.1e}"
    return line + "; " + ", ".join(f"{stage} {s:.3f}" for stage, s in row["stage_seconds"].items())


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    from temu_vtoff.hardware.devices import choose_device
    from temu_vtoff.hardware.quantization import has_fp8
    from temu_vtoff.tryoff.presets import PRESETS

    device = choose_device(args.device)
    scales = args.scale
    if scales is None:
        scales = ["builtin", "sd3-medium"] if device.type == "cuda" else ["builtin"]
    for scale in scales:
        for batch in args.batch_size:
            for fp8 in (False, True):  # which changes the weights, so that it needs a pipeline of its own
                presets = [name for name in args.preset if (PRESETS[name].fp8 and has_fp8(device)) == fp8]
                if presets:
                    measure(args, scale, batch, presets, device, fp8)


if __name__ == "__main__":
    arguments = parse_args()
    command_line.run(main, arguments)

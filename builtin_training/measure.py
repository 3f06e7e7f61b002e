"""Scores the built-in model on drawn people that no training used, through its own segmenter and captioner.

    python -m builtin_training.measure --count 100 --output_dir runs/measure

The people are drawn on the fly, from held-out seeds. Variants show what each part contributes: no caption, another
person's photo with the right caption, the true mask and caption, no reference, the photo itself as the masked image
(no_fine_mask), the published model's guidance. Two more are for comparison: the garment cut out by its true mask (a
baseline), and the true product through the VAE (an upper bound). With --pattern_classifier it also reports on how many
products a classifier sees the true pattern. Writes scores.json, table.md, and people.png with the first 12 people as
photo, true and generated product.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

import command_line
from builtin_training.cases import OF_TRUTH, VARIANTS, Case, Sampling, draw_cases, segment_and_caption
from command_line.config import add_config_flag, parse_with_config
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import writable_folder, write_text
from temu_vtoff.pictures import panel, save_picture
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.stages.options import Options

if TYPE_CHECKING:
    import torch

PEOPLE_SHOWN = 12


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add_config_flag(parser)
    add = parser.add_argument_group("what is measured").add_argument
    add("--count", type=command_line.positive, default=100, help="people per category")
    add("--layers", action="store_true", help="people with an open jacket over a top; scores both garments")
    add("--output_dir", default="runs/measure", help="folder for scores.json, table.md and people.png")
    add("--pattern_classifier", type=Path, help="folder that train_pattern_classifier wrote")
    add("--variants", nargs="+", default=["full"], choices=VARIANTS, help="inputs to measure")
    add = parser.add_argument_group("models").add_argument
    add("--pretrained_model_name_or_path", default=BUILTIN, help="pipeline to measure: a folder or builtin")
    add("--pretrained_model_name_or_path_sd3_tryoff", help="folder of transformers to measure instead of its own")
    add("--segmentation_model", default=BUILTIN, help="SegFormer")
    add("--caption_model", default=BUILTIN, help="Qwen2.5-VL")
    add = parser.add_argument_group("sampling").add_argument
    add("--num_inference_steps", type=command_line.positive, help="sampling steps; default: 28")
    add("--guidance_scale", type=float, default=Sampling.guidance_scale, help="1 or less turns guidance off")
    add("--batch_size", type=command_line.positive, default=Sampling.batch_size, help="people at once")
    add("--device", help="cpu, cuda, ...; default: the best available")
    return parse_with_config(parser, argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    from builtin_training.pattern_classifier import PatternClassifier
    from builtin_training.products import make_products
    from builtin_training.scores import judged_truth, score
    from temu_vtoff import TryOff

    started = time.time()
    if "other_photo" in args.variants and args.count < 2:
        raise ArgumentError(
            f"{{variants}} other_photo needs another person; {{count}} is {args.count}, give 2 or more.",
            "count",
            "variants",
        )
    folder = writable_folder(args.output_dir)
    options = Options(
        base=args.pretrained_model_name_or_path,
        tryoff=args.pretrained_model_name_or_path_sd3_tryoff,
        segmenter=args.segmentation_model,
        captioner=args.caption_model,
        device=args.device,
        precision="no",
        compile=False,
        batch_size=args.batch_size,
    )
    toolkit = TryOff(options, keep_loaded=True, progress=command_line.progress)
    sampling = Sampling(args.num_inference_steps, args.guidance_scale, batch_size=args.batch_size)
    cases = draw_cases(args.count, args.layers)
    judge = None if args.pattern_classifier is None else PatternClassifier.from_pretrained(args.pattern_classifier)
    found = {} if OF_TRUTH.issuperset(args.variants) else segment_and_caption(cases, toolkit)
    results = {"found": found | judged_truth(cases, judge)}
    pipe = toolkit.pipeline(len(cases) * len(args.variants))
    pipe.set_progress_bar_config(disable=True)
    for variant in args.variants:
        products = make_products(pipe, cases, variant, sampling)
        results[variant] = score(products, cases, judge)
        if variant == ("full" if "full" in args.variants else args.variants[0]):
            show_people(cases, products, folder / "people.png")
    scores = table({name: results[name] for name in args.variants})
    write_text(folder / "scores.json", json.dumps(results, indent=1) + "\n")
    write_text(folder / "table.md", scores)
    write_run_record(folder, vars(args), started, people=len(cases), **toolkit.taken)
    print(json.dumps(results["found"], indent=1))
    print(scores)


def table(scores: dict[str, dict[str, float]]) -> str:
    """The variants' main scores in Markdown."""
    columns = ["silhouette_iou", "color_error", "color_error_plain_median", "ssim"]
    if all("patterns_right" in s for s in scores.values()):
        columns.append("patterns_right")
    lines = [f"| variant | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(f'{s[c]:.3f}' for c in columns)} |" for name, s in scores.items()]
    return "\n".join(lines) + "\n"


def show_people(cases: list[Case], products: torch.Tensor, path: Path) -> None:
    """The first people, none chosen: photo, true product, generated product."""
    from torchvision.transforms.functional import to_pil_image

    trios = [panel([c.photo, c.product, to_pil_image(x)]) for c, x in zip(cases[:PEOPLE_SHOWN], products, strict=False)]
    columns = 3
    width, height = trios[0].size
    sheet = Image.new("RGB", (width * columns, height * -(-len(trios) // columns)), "white")
    for i, trio in enumerate(trios):
        sheet.paste(trio, (i % columns * width, i // columns * height))
    save_picture(sheet, path)


if __name__ == "__main__":
    command_line.run(main, parse_args())

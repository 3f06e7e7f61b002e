"""Scores the built-in model on drawn people it has never met, through its own segmenter and captioner.

    python -m builtin_training.measure --count 100 --output_dir runs/measure

The people are drawn on the fly from seeds that no training data set uses. Variants show what each part contributes: no
caption, another person's photo with the right caption, the true mask and caption, no reference, the photo itself as the
masked image (no_fine_mask), the published model's guidance. Two more are bounds: the garment cut out by its true mask,
and the true product through the VAE. With --pattern_classifier also: on how many products a classifier sees the true
pattern. Writes scores.json, table.md, and people.png with the first 12 people as photo, true and generated product.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

import command_line
from command_line.config import add_config_flag, parse_with_config
from drawn_people import CATEGORIES, draw_person
from drawn_people.attributes import attributes_from_caption
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import writable_folder, write_text
from temu_vtoff.pictures import panel, save_picture
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.masks import CATEGORY_LABELS, GarmentNotFoundError, mask_picture, masked_image
from temu_vtoff.stages.options import Options
from temu_vtoff.tryoff.presets import Preset

if TYPE_CHECKING:
    import torch

    from builtin_training.pattern_classifier import PatternClassifier
    from temu_vtoff import TryOff, TryOffPipeline

HELD_OUT_SEEDS = 10**15  # training data sets draw below 2^20 x (their seed + 1), their test splits from 2^62
VARIANTS = (
    "full",
    "true_mask_caption",
    "no_caption",
    "other_photo",
    "no_reference",
    "no_fine_mask",
    "published_guidance",
    "cut_out",
    "through_vae",
)
PEOPLE_SHOWN = 12
SCORED_AT_ONCE = 32  # people: SSIM's windows of 900 at once take 20 GB


@dataclass
class Case:
    """One garment on one person: the truth, and what segmenter and captioner found in the photo."""

    category: str
    photo: Image.Image
    mask: Image.Image  # the truth, L
    product: Image.Image
    silhouette: Image.Image  # L
    caption: str
    attributes: dict[str, str]
    pattern: str
    found_mask: Image.Image | None = None
    found_caption: str = ""


@dataclass(frozen=True)
class Sampling:
    """How pictures are sampled: keywords of `TryOffPipeline.__call__`, and how many people go through it at once."""

    num_inference_steps: int | None = None
    guidance_scale: float = Options.guidance_scale
    preset: str | Preset = Options.preset
    batch_size: int = 12


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add_config_flag(parser)
    add = parser.add_argument_group("what is measured").add_argument
    add("--count", type=command_line.positive, default=100, help="people per category")
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
    add("--device", help="cpu, cuda, ...; default: the best there is")
    return parse_with_config(parser, argv)


def draw_cases(count: int) -> list[Case]:
    """`count` people per category, the categories taking turns."""
    cases = []
    for number in range(count):
        for category in CATEGORIES:
            person = draw_person(HELD_OUT_SEEDS + number, category)
            garment = person.garments[category]
            worn = mask_picture(np.isin(np.asarray(person.label_map), CATEGORY_LABELS[category]))
            truth = (garment.product, garment.silhouette, garment.caption, garment.attributes, garment.pattern)
            cases.append(Case(category, person.photo, worn, *truth))
    return cases


def segment_and_caption(cases: list[Case], toolkit: TryOff) -> dict[str, float]:
    """Fills in what is found in the photos, and scores it: mask IoU and share of attributes that are right."""
    ious, right = {}, {}
    for category in CATEGORIES:
        some = [case for case in cases if case.category == category]
        garments = toolkit.segment([case.photo for case in some], category)
        for garment, case in zip(garments, some, strict=True):
            if isinstance(garment.error, GarmentNotFoundError):  # counts as an empty mask
                garment.mask, garment.error = Image.new("L", case.photo.size), None
        toolkit.caption(garments)
        for garment, case in zip(garments, some, strict=True):
            if garment.error is not None:
                raise garment.error
            case.found_mask, case.found_caption = garment.mask, garment.caption
        ious[category] = float(np.mean([overlap(case.found_mask, case.mask) for case in some]))
        right[category] = float(np.mean([hit for case in some for hit in attributes_right(case)]))
    scores = {f"mask_iou_{category}": value for category, value in ious.items()}
    scores |= {f"attributes_right_{category}": value for category, value in right.items()}
    return scores | {
        "mask_iou": float(np.mean([*ious.values()])),
        "attributes_right": float(np.mean([*right.values()])),
    }


def overlap(found: Image.Image, true: Image.Image) -> float:
    """Intersection over union of two masks."""
    found, true = np.asarray(found) > 0, np.asarray(true) > 0
    return (found & true).sum() / (found | true).sum()


def attributes_right(case: Case) -> list[bool]:
    """Whether each of the case's attributes is what its caption says."""
    said = attributes_from_caption(case.found_caption)
    return [said.get(name) == word for name, word in case.attributes.items()]


def as_variant(cases: list[Case], variant: str) -> list[Case]:
    """What the pipeline is given instead of the found masks and captions."""
    if variant == "true_mask_caption":
        return [replace(case, found_mask=case.mask, found_caption=case.caption) for case in cases]
    if variant == "no_caption":
        return [replace(case, found_caption="") for case in cases]
    if variant == "other_photo":  # of the same category, as the categories take turns
        others = cases[len(CATEGORIES) :] + cases[: len(CATEGORIES)]
        return [
            replace(case, photo=other.photo, found_mask=other.found_mask)
            for case, other in zip(cases, others, strict=True)
        ]
    return cases


def make_products(pipe: TryOffPipeline, cases: list[Case], variant: str, sampling: Sampling) -> torch.Tensor:
    """(B, 3, H, W) in [0, 1]; each picture's noise is seeded by its place."""
    import torch
    from torchvision.transforms.functional import to_tensor

    if variant == "cut_out":
        return torch.stack([to_tensor(cut_out(case.photo, case.mask)) for case in cases])
    if variant == "through_vae":
        parts = [[to_tensor(case.product) for case in batch] for batch in batches(cases, sampling.batch_size)]
        return torch.cat([through_vae(pipe, torch.stack(part)) for part in parts])
    if variant == "no_reference":
        pipe = copied(pipe, without_reference())
    elif variant == "published_guidance":
        pipe = copied(pipe, type(pipe), negative_reference=True)
    cases, products = as_variant(cases, variant), []
    numbered = list(enumerate(cases))
    for batch in command_line.progress(list(batches(numbered, sampling.batch_size)), variant):
        photos, masks = [case.photo for _, case in batch], [case.found_mask for _, case in batch]
        masked = [masked_image(photo, mask) for photo, mask in zip(photos, masks, strict=True)]
        output = pipe(
            photos,
            masks,
            masked_image=photos if variant == "no_fine_mask" else masked,
            prompt=[case.found_caption for _, case in batch],
            num_inference_steps=sampling.num_inference_steps,
            guidance_scale=sampling.guidance_scale,
            preset=sampling.preset,
            generator=[torch.Generator().manual_seed(number) for number, _ in batch],
            output_type="pt",
        )
        products.append(output.images.float().cpu())
    return torch.cat(products)


def copied(pipe: TryOffPipeline, kind: type[TryOffPipeline], **changes: bool) -> TryOffPipeline:
    """A pipeline of the same models, of another kind or with some values of its configuration changed."""
    from temu_vtoff.tryoff.components import CONFIG

    config = {name: pipe.config[name] for name in CONFIG}
    copy = kind(**pipe.components | config | changes)
    copy.set_progress_bar_config(disable=True)
    return copy


def without_reference() -> type[TryOffPipeline]:
    """The pipeline with stock SD3's attention: the extractor's reference isn't used."""
    from temu_vtoff import TryOffPipeline

    class WithoutReference(TryOffPipeline):
        def extract_reference(self, *person: torch.Tensor) -> None:
            return None

    return WithoutReference


def cut_out(photo: Image.Image, mask: Image.Image, margin: float = 0.06) -> Image.Image:
    """The baseline: the garment's pixels as worn, centred on white and enlarged to fill the frame."""
    white = Image.new("RGB", photo.size, "white")
    box = mask.getbbox()
    piece = Image.composite(photo, white, mask).crop(box)
    scale = min(photo.width / piece.width, photo.height / piece.height) * (1 - 2 * margin)
    piece = piece.resize((max(1, round(piece.width * scale)), max(1, round(piece.height * scale))))
    white.paste(piece, ((photo.width - piece.width) // 2, (photo.height - piece.height) // 2))
    return white


def through_vae(pipe: TryOffPipeline, pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 3, H, W) in [0, 1], encoded and decoded."""
    import torch

    with torch.no_grad():
        latents = pipe.encode_latents(pictures, generator=torch.Generator().manual_seed(0))
        return pipe.image_processor.postprocess(pipe.decode_latents(latents), output_type="pt").cpu()


def score(products: torch.Tensor, cases: list[Case], judge: PatternClassifier | None) -> dict[str, float]:
    """Means over all cases; the median colour error of plain garments; patterns if there is a classifier of them."""
    import torch
    from torchvision.transforms.functional import to_tensor

    from temu_vtoff.metrics.color_error import color_error
    from temu_vtoff.metrics.silhouette import silhouette_iou
    from temu_vtoff.metrics.ssim import ssim

    ious, colors, ssims = [], [], []
    for batch in batches(list(range(len(cases))), SCORED_AT_ONCE):
        generated, some = products[batch], [cases[i] for i in batch]
        truths = torch.stack([to_tensor(case.product) for case in some])
        outlines = torch.stack([to_tensor(case.silhouette)[0] > 0.5 for case in some])
        ious.append(silhouette_iou(generated, outlines))
        colors.append(color_error(generated, truths))
        ssims.append(ssim(generated, truths))
    ious, colors, ssims = torch.cat(ious), torch.cat(colors), torch.cat(ssims)
    plain = torch.tensor([case.pattern == "plain" for case in cases])
    scores = {
        "silhouette_iou": ious.mean(),
        "color_error": colors.mean(),
        "color_error_plain_median": colors[plain].median(),
        "ssim": ssims.mean(),
    }
    if judge is not None:
        right = patterns_right(products, cases, judge)
        scores["patterns_right"] = right.mean()
        for pattern in sorted({case.pattern for case in cases}):
            scores[f"patterns_right_{pattern}"] = right[[case.pattern == pattern for case in cases]].mean()
    for category in CATEGORIES:
        members = torch.tensor([case.category == category for case in cases])
        scores |= {
            f"silhouette_iou_{category}": ious[members].mean(),
            f"color_error_{category}": colors[members].mean(),
        }
    return {name: round(float(value), 4) for name, value in scores.items()}


def patterns_right(pictures: torch.Tensor, cases: list[Case], judge: PatternClassifier) -> np.ndarray:
    """(B,) bool: on which product pictures the judge sees the case's pattern."""
    return np.array([seen == case.pattern for seen, case in zip(judge.patterns(pictures), cases, strict=True)])


def batches(items: list, size: int) -> Iterator[list]:
    """The items in lists of at most `size`."""
    return (items[i : i + size] for i in range(0, len(items), size))


def table(scores: dict[str, dict[str, float]]) -> str:
    """The variants' main scores in Markdown."""
    columns = ["silhouette_iou", "color_error", "color_error_plain_median", "ssim"]
    if all("patterns_right" in s for s in scores.values()):
        columns.append("patterns_right")
    lines = [f"| variant | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(f'{s[c]:.3f}' for c in columns)} |" for name, s in scores.items()]
    return "\n".join(lines) + "\n"


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
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
    cases, judge = draw_cases(args.count), load_judge(args.pattern_classifier)
    results = {"found": segment_and_caption(cases, toolkit) | judged_truth(cases, judge)}
    pipe = toolkit.pipeline(len(cases) * len(args.variants))
    pipe.set_progress_bar_config(disable=True)
    for variant in args.variants:
        products = make_products(pipe, cases, variant, sampling)
        results[variant] = score(products, cases, judge)
        if variant == "full":
            show_people(cases, products, folder / "people.png")
    scores = table({name: results[name] for name in args.variants})
    write_text(folder / "scores.json", json.dumps(results, indent=1) + "\n")
    write_text(folder / "table.md", scores)
    write_run_record(folder, vars(args), started, people=len(cases), **toolkit.taken)
    print(json.dumps(results["found"], indent=1))
    print(scores)


def load_judge(folder: Path | None) -> PatternClassifier | None:
    """The classifier of patterns, if one is named."""
    if folder is None:
        return None
    from builtin_training.pattern_classifier import PatternClassifier

    return PatternClassifier.from_pretrained(folder)


def judged_truth(cases: list[Case], judge: PatternClassifier | None) -> dict[str, float]:
    """On how many true products the judge is right."""
    if judge is None:
        return {}
    import torch
    from torchvision.transforms.functional import to_tensor

    right = patterns_right(torch.stack([to_tensor(case.product) for case in cases]), cases, judge).mean()
    return {"patterns_right_on_true_products": round(float(right), 4)}


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

"""Scores the built-in model on drawn people it has never met, through its own segmenter and captioner.

    python -m builtin_training.measure --count 100 --output_dir runs/measure

The held-out people are drawn on the fly from seeds that no training data set uses. Variants tell what each part is
worth: without caption, with another person's photo under the right caption, with the true mask and caption, without
reference, without fine mask, guided as the published model is. Two more frame them: the baseline of cutting the garment
out by its true mask, and the true product through the VAE, better than which no transformers can be. With
--pattern_classifier also: on how many products a judge sees the true pattern. Writes scores.json and table.md, and
people.png: the first 12 people as photo, true product and product made.
"""

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
from drawn_people import CATEGORIES, draw_person
from drawn_people.attributes import attributes_from_caption
from temu_vtoff.files import writable_folder, write_text
from temu_vtoff.pictures import panel, save_picture
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.masks import (
    CATEGORY_LABELS,
    GarmentNotFoundError,
    garment_mask,
    mask_picture,
    masked_image,
)

if TYPE_CHECKING:
    import torch

    from builtin_training.pattern_classifier import PatternClassifier
    from temu_vtoff import TryOffPipeline

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
    """One garment on one person: the truth, and what the segmenter and the captioner made of the photo."""

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


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument_group("what").add_argument
    add("--count", type=command_line.positive, default=100, help="people per category")
    add("--output_dir", default="runs/measure", help="where scores.json, table.md and people.png go")
    add("--pattern_classifier", type=Path, help="folder that train_pattern_classifier wrote")
    add("--variants", nargs="+", default=["full"], choices=VARIANTS, help="what to measure")
    add = parser.add_argument_group("models").add_argument
    add("--pretrained_model_name_or_path", default="builtin", help="pipeline to measure: a folder or builtin")
    add("--pretrained_model_name_or_path_sd3_tryoff", help="other transformers for it: a folder of train.py")
    add("--segmentation_model", default="builtin", help="SegFormer")
    add("--caption_model", default="builtin", help="Qwen2.5-VL")
    add = parser.add_argument_group("how").add_argument
    add("--num_inference_steps", type=command_line.positive, default=28, help="Euler steps")
    add("--guidance_scale", type=float, default=2.0, help="1 or less turns guidance off")
    add("--batch_size", type=command_line.positive, default=12, help="people at once")
    add("--device", help="cpu, cuda, ...; the best there is when absent")
    return parser.parse_args(argv)


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


def segment_and_caption(cases: list[Case], args: argparse.Namespace) -> dict[str, float]:
    """Fills in what is found in the photos, and scores it: mask IoU and share of attributes that are right."""
    from temu_vtoff.captioning.qwen import Captioner
    from temu_vtoff.segmentation.segmenter import ClothSegmenter

    segmenter = ClothSegmenter.from_pretrained(args.segmentation_model, device=args.device)
    captioner = Captioner.from_pretrained(args.caption_model, device=args.device)
    ious, right = {c: [] for c in CATEGORIES}, {c: [] for c in CATEGORIES}
    for batch in command_line.progress(list(batches(cases, args.batch_size)), "segment and caption"):
        label_maps = segmenter.label_maps([case.photo for case in batch])
        captions = captioner([case.photo for case in batch], [case.category for case in batch])
        for case, label_map, caption in zip(batch, label_maps, captions, strict=True):
            try:
                found = garment_mask(label_map, case.category).mask
            except GarmentNotFoundError:
                found = np.zeros(label_map.shape, bool)
            true = np.asarray(case.mask) > 0
            ious[case.category].append((found & true).sum() / (found | true).sum())
            said = attributes_from_caption(caption)
            right[case.category] += [said.get(name) == word for name, word in case.attributes.items()]
            case.found_mask, case.found_caption = mask_picture(found), caption
    scores = {f"mask_iou_{category}": float(np.mean(values)) for category, values in ious.items()}
    scores |= {f"attributes_right_{category}": float(np.mean(values)) for category, values in right.items()}
    for name in ("mask_iou", "attributes_right"):
        scores[name] = float(np.mean([scores[f"{name}_{category}"] for category in CATEGORIES]))
    return scores


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


def make_products(pipe: "TryOffPipeline", cases: list[Case], variant: str, args: argparse.Namespace) -> "torch.Tensor":
    """(B, 3, H, W) in [0, 1]; each picture's noise is seeded by its place."""
    import torch
    from torchvision.transforms.functional import to_tensor

    if variant == "cut_out":
        return torch.stack([to_tensor(cut_out(case.photo, case.mask)) for case in cases])
    if variant == "through_vae":
        parts = [torch.stack([to_tensor(case.product) for case in batch]) for batch in batches(cases, args.batch_size)]
        return torch.cat([through_vae(pipe, part) for part in parts])
    if variant == "no_reference":
        pipe = copied(pipe)
        pipe.extract_reference = lambda *_: None  # stock SD3
    elif variant == "published_guidance":
        pipe = copied(pipe, negative_reference=True)
    cases, made = as_variant(cases, variant), []
    numbers = list(range(len(cases)))
    for batch in command_line.progress(list(batches(numbers, args.batch_size)), variant):
        photos, masks = [cases[i].photo for i in batch], [cases[i].found_mask for i in batch]
        masked = (
            photos if variant == "no_fine_mask" else [masked_image(p, m) for p, m in zip(photos, masks, strict=True)]
        )
        output = pipe(
            photos,
            masks,
            masked_image=masked,
            prompt=[cases[i].found_caption for i in batch],
            num_inference_steps=args.num_inference_steps,
            guidance_scale=args.guidance_scale,
            generator=[torch.Generator().manual_seed(i) for i in batch],
            output_type="pt",
        )
        made.append(output.images.float().cpu())
    return torch.cat(made)


def copied(pipe: "TryOffPipeline", **changes: bool) -> "TryOffPipeline":
    """Another pipeline of the same models, with some values of its configuration changed."""
    from temu_vtoff import TryOffPipeline
    from temu_vtoff.tryoff.loading import CONFIG

    config = {name: pipe.config[name] for name in CONFIG}
    copy = TryOffPipeline(**pipe.components | config | changes)
    copy.set_progress_bar_config(disable=True)
    return copy


def cut_out(photo: Image.Image, mask: Image.Image, margin: float = 0.06) -> Image.Image:
    """The baseline: the garment's pixels as worn, centred on white and enlarged to fill the frame."""
    white = Image.new("RGB", photo.size, "white")
    box = mask.getbbox()
    piece = Image.composite(photo, white, mask).crop(box)
    scale = min(photo.width / piece.width, photo.height / piece.height) * (1 - 2 * margin)
    piece = piece.resize((max(1, round(piece.width * scale)), max(1, round(piece.height * scale))))
    white.paste(piece, ((photo.width - piece.width) // 2, (photo.height - piece.height) // 2))
    return white


def through_vae(pipe: "TryOffPipeline", pictures: "torch.Tensor") -> "torch.Tensor":
    """Pictures (B, 3, H, W) in [0, 1], encoded and decoded."""
    import torch

    with torch.no_grad():
        latents = pipe.encode_latents(pictures, generator=torch.Generator().manual_seed(0))
        return pipe.image_processor.postprocess(pipe.decode_latents(latents), output_type="pt").cpu()


def score(made: "torch.Tensor", cases: list[Case], judge: "PatternClassifier | None") -> dict[str, float]:
    """Means over all cases; colours of plain garments apart, by the median; patterns if there is a judge of them."""
    import torch
    from torchvision.transforms.functional import to_tensor

    from temu_vtoff.metrics.color_error import color_error
    from temu_vtoff.metrics.silhouette import silhouette_iou
    from temu_vtoff.metrics.ssim import ssim

    ious, colors, ssims = [], [], []
    for batch in batches(list(range(len(cases))), SCORED_AT_ONCE):
        ours, some = made[batch], [cases[i] for i in batch]
        truths = torch.stack([to_tensor(case.product) for case in some])
        outlines = torch.stack([to_tensor(case.silhouette)[0] > 0.5 for case in some])
        ious.append(silhouette_iou(ours, outlines))
        colors.append(color_error(ours, truths))
        ssims.append(ssim(ours, truths))
    ious, colors, ssims = torch.cat(ious), torch.cat(colors), torch.cat(ssims)
    plain = torch.tensor([case.pattern == "plain" for case in cases])
    scores = {
        "silhouette_iou": ious.mean(),
        "color_error": colors.mean(),
        "color_error_plain_median": colors[plain].median(),
        "ssim": ssims.mean(),
    }
    if judge is not None:
        right = patterns_right(made, cases, judge)
        scores["patterns_right"] = right.mean()
        for pattern in sorted({case.pattern for case in cases}):
            scores[f"patterns_right_{pattern}"] = right[[case.pattern == pattern for case in cases]].mean()
    for category in CATEGORIES:
        of_it = torch.tensor([case.category == category for case in cases])
        scores |= {f"silhouette_iou_{category}": ious[of_it].mean(), f"color_error_{category}": colors[of_it].mean()}
    return {name: round(float(value), 4) for name, value in scores.items()}


def patterns_right(pictures: "torch.Tensor", cases: list[Case], judge: "PatternClassifier") -> np.ndarray:
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
    started = time.time()
    command_line.quiet_libraries()
    import torch
    from torchvision.transforms.functional import to_tensor

    from temu_vtoff import TryOffPipeline
    from temu_vtoff.hardware.acceleration import speed_up
    from temu_vtoff.hardware.devices import choose_device

    if "other_photo" in args.variants and args.count < 2:
        raise ValueError(
            f"--variants other_photo needs someone else of the category: --count 2 or more, not {args.count}."
        )
    folder = writable_folder(args.output_dir)
    args.device = choose_device(args.device)
    cases = draw_cases(args.count)
    judge = None
    if args.pattern_classifier is not None:
        from builtin_training.pattern_classifier import PatternClassifier

        judge = PatternClassifier.from_pretrained(args.pattern_classifier)
    results = {"found": segment_and_caption(cases, args)}
    if judge is not None:
        truths = torch.stack([to_tensor(case.product) for case in cases])
        share = patterns_right(truths, cases, judge).mean()
        results["found"]["patterns_right_on_true_products"] = round(float(share), 4)
    base, transformers = args.pretrained_model_name_or_path, args.pretrained_model_name_or_path_sd3_tryoff
    pipe = speed_up(TryOffPipeline.from_pretrained(base, transformers).to(args.device))
    pipe.set_progress_bar_config(disable=True)
    for variant in args.variants:
        made = make_products(pipe, cases, variant, args)
        results[variant] = score(made, cases, judge)
        if variant == "full":
            show_people(cases, made, folder / "people.png")
    write_text(folder / "scores.json", json.dumps(results, indent=1) + "\n")
    write_text(folder / "table.md", table({name: results[name] for name in args.variants}))
    write_run_record(folder, vars(args), started, people=len(cases))
    print(json.dumps(results["found"], indent=1))
    print(table({name: results[name] for name in args.variants}))


def show_people(cases: list[Case], made: "torch.Tensor", path: Path) -> None:
    """The first people, none chosen: photo, true product, product made."""
    from torchvision.transforms.functional import to_pil_image

    trios = [panel([c.photo, c.product, to_pil_image(x)]) for c, x in zip(cases[:PEOPLE_SHOWN], made, strict=False)]
    columns = 3
    width, height = trios[0].size
    sheet = Image.new("RGB", (width * columns, height * -(-len(trios) // columns)), "white")
    for i, trio in enumerate(trios):
        sheet.paste(trio, (i % columns * width, i // columns * height))
    save_picture(sheet, path)


if __name__ == "__main__":
    arguments = parse_args()
    command_line.run(main, arguments)

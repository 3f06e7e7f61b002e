"""Whether the best of several pictures by their quality is nearer to the truth than a random one of them.

    python -m benchmarks.bench_picking --people 200 --num_images 4 --preset fast

Held-out drawn people go through the built-in model's stages. For each, SSIM and silhouette IoU of the picture with
the best score are compared with their mean over all its pictures, which is what a random choice gets. One row goes to
benchmarks/results/picking.jsonl. The pictures stay in OUTPUT_DIR, one folder for each person, and an interrupted run
resumes; the parts of their scores and their distances to the truth are in OUTPUT_DIR/people.jsonl.
"""

import argparse
import json
from pathlib import Path

import command_line
from drawn_people import CATEGORIES, draw_person
from temu_vtoff.files import replacing, writable_folder, write_text
from temu_vtoff.tryoff.presets import PRESETS

SEEDS = 10**15 + 900_001  # of people that neither training nor the weights of the score have seen
FACTS = "person.json"  # written last: a folder that has it is complete


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--people", type=command_line.positive, default=200, help="people; the categories alternate")
    add("--num_images", type=command_line.positive, default=4, help="pictures of each person")
    add("--preset", default="fast", choices=PRESETS, help="preset of the pictures")
    add("--batch_size", type=command_line.positive, default=6, help="people at once")
    add("--first_seed", type=int, default=SEEDS, help="seed of the first person drawn")
    add("--output_dir", default="runs/picking", help="folder of the pictures")
    command_line.add_device_flags(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    from benchmarks.measuring import write_row
    from temu_vtoff import Options, TryOff

    folder = writable_folder(args.output_dir)
    options = Options(
        tryoff="builtin",
        device=args.device,
        precision=args.mixed_precision,
        offload=args.offload,
        compile=False,
        preset=args.preset,
        batch_size=args.batch_size,
    )
    toolkit = TryOff(options, keep_loaded=True)
    seeds = range(args.first_seed, args.first_seed + args.people)
    missing = [seed for seed in seeds if not (folder / str(seed) / FACTS).exists()]
    for start in command_line.progress(range(0, len(missing), args.batch_size), "pictures"):
        make(toolkit, missing[start : start + args.batch_size], args.num_images, folder)
    rows = [judge(toolkit, seed, folder / str(seed)) for seed in command_line.progress(seeds, "scores")]
    write_text(folder / "people.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    row = summary(rows)
    write_row("picking", {"people": args.people, "num_images": args.num_images, "preset": args.preset} | row)
    print(json.dumps(row, indent=1))


def make(toolkit, seeds: list[int], num_images: int, folder: Path) -> None:
    """Writes the photo, the mask and the pictures of each person."""
    garments = []
    for seed in seeds:
        category = _category(seed)
        garments += toolkit.segment([draw_person(seed, category).photo], category)
    toolkit.caption(garments)
    for seed, product in zip(seeds, toolkit.generate(garments, num_images=num_images), strict=True):
        own = writable_folder(folder / str(seed))
        pictures = dict(enumerate(product.images))
        if product.error is None:
            pictures |= {"photo": product.photo, "mask": product.mask}
        for name, picture in pictures.items():
            with replacing(own / f"{name}.png") as file:
                picture.save(file, "PNG")
        facts = {
            "category": product.garment.category,
            "caption": product.garment.caption,
            "pictures": len(product.images),
            "error": None if product.error is None else str(product.error),
        }
        write_text(own / FACTS, json.dumps(facts, indent=1))


def judge(toolkit, seed: int, folder: Path) -> dict:
    """The parts of the score, SSIM and silhouette IoU of one person's pictures."""
    import torch
    from PIL import Image
    from torchvision.transforms.functional import to_tensor

    from temu_vtoff import Garment
    from temu_vtoff.metrics.silhouette import silhouette_iou
    from temu_vtoff.metrics.ssim import ssim
    from temu_vtoff.stages.garment import Product
    from temu_vtoff.stages.selecting import judged

    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    if facts["error"] is not None:
        return {"seed": seed, "error": facts["error"]}
    photo, mask, *pictures = (
        Image.open(folder / f"{name}.png") for name in ("photo", "mask", *range(facts["pictures"]))
    )
    garment = Garment(photo, facts["category"], caption=facts["caption"])
    product = judged(Product(garment, pictures, photo=photo, mask=mask), toolkit.pipeline())
    truth = draw_person(seed, facts["category"]).garments[facts["category"]]
    images = torch.stack([to_tensor(picture) for picture in pictures])
    outline = (to_tensor(truth.silhouette) > 0.5).expand(len(images), -1, -1)
    return {
        "seed": seed,
        "parts": [quality.parts for quality in product.quality],
        "ssim": ssim(images, to_tensor(truth.product).expand_as(images)).tolist(),
        "silhouette_iou": silhouette_iou(images, outline).tolist(),
    }


def summary(rows: list[dict]) -> dict[str, object]:
    """Means of a random picture, of the best by score, and of the best by the truth; and the gain's standard error."""
    import numpy as np

    from temu_vtoff.stages.quality import Quality

    rows = [row for row in rows if "error" not in row]
    scores = np.array([[Quality.of(parts).score for parts in row["parts"]] for row in rows])  # (people, images)
    chosen = scores.argmax(1)
    found: dict[str, object] = {"scored": len(rows)}
    for name in ("ssim", "silhouette_iou"):
        values = np.array([row[name] for row in rows])
        gain = values[np.arange(len(rows)), chosen] - values.mean(1)
        found[name] = {
            "random": round(float(values.mean()), 4),
            "picked": round(float(values.mean() + gain.mean()), 4),
            "gain": round(float(gain.mean()), 4),
            "gain_error": round(float(gain.std() / len(gain) ** 0.5), 4),
            "best": round(float(values.max(1).mean()), 4),
            "correlation_with_score": round(float(np.corrcoef(scores.ravel(), values.ravel())[0, 1]), 3),
        }
    return found


def _category(seed: int) -> str:
    return CATEGORIES[seed % len(CATEGORIES)]


if __name__ == "__main__":
    command_line.run(main, parse_args())

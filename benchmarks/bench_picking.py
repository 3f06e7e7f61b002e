"""Whether the best of several pictures by their quality is nearer to the truth than a random one of them.

    python -m benchmarks.bench_picking --people 90 --num_images 4 --preset fast

Held-out drawn people go through the built-in model's stages. For each, SSIM and silhouette IoU of the picture with
the best score are compared with their mean over all its pictures, which is what a random choice gets. One row goes to
benchmarks/results/picking.jsonl. What is finished stays in OUTPUT_DIR/people.jsonl, and an interrupted run resumes.
"""

import argparse
import json
from pathlib import Path

import command_line
from drawn_people import CATEGORIES, draw_person
from temu_vtoff.files import writable_folder
from temu_vtoff.tryoff.presets import PRESETS

SEEDS = 10**15 + 800_001  # of people that neither training nor the weights of the score have seen


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--people", type=command_line.positive, default=90, help="people; the categories alternate")
    add("--num_images", type=command_line.positive, default=4, help="pictures of each person")
    add("--preset", default="fast", choices=PRESETS, help="preset of the pictures")
    add("--batch_size", type=command_line.positive, default=6, help="people at once")
    add("--output_dir", default="runs/picking", help="folder of people.jsonl")
    command_line.add_device_flags(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    from benchmarks.measuring import write_row
    from temu_vtoff import Options, TryOff

    path = writable_folder(args.output_dir) / "people.jsonl"
    done = {row["number"]: row for row in _rows(path)}
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
    missing = [number for number in range(args.people) if number not in done]
    starts = range(0, len(missing), args.batch_size)
    for start in command_line.progress(starts, "people"):
        for row in measure(toolkit, missing[start : start + args.batch_size], args.num_images):
            done[row["number"]] = row
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    row = summary([done[number] for number in range(args.people)])
    write_row("picking", {"people": args.people, "num_images": args.num_images, "preset": args.preset} | row)
    print(json.dumps(row, indent=1))


def measure(toolkit, numbers: list[int], num_images: int) -> list[dict]:
    """For each person the parts of the score, SSIM and silhouette IoU of its pictures."""
    import torch
    from torchvision.transforms.functional import to_tensor

    from temu_vtoff.metrics.silhouette import silhouette_iou
    from temu_vtoff.metrics.ssim import ssim

    truths, garments = [], []
    for number in numbers:
        category = CATEGORIES[number % len(CATEGORIES)]
        person = draw_person(SEEDS + number, category)
        truths.append(person.garments[category])
        garments += toolkit.segment([person.photo], category)
    toolkit.caption(garments)
    rows = []
    for number, truth, product in zip(numbers, truths, toolkit.generate(garments, num_images=num_images), strict=True):
        if product.error is not None:
            rows.append({"number": number, "error": str(product.error)})
            continue
        images = torch.stack([to_tensor(image) for image in product.images])
        true = to_tensor(truth.product).expand_as(images)
        outline = (to_tensor(truth.silhouette) > 0.5).expand(len(images), -1, -1)
        rows.append(
            {
                "number": number,
                "parts": [quality.parts for quality in product.quality],
                "ssim": ssim(images, true).tolist(),
                "silhouette_iou": silhouette_iou(images, outline).tolist(),
            }
        )
    return rows


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


def _rows(path: Path) -> list[dict]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


if __name__ == "__main__":
    command_line.run(main, parse_args())

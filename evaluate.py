"""Predicted product pictures against the true ones: metrics.json, per_item.csv and report.html.

    python evaluate.py --dataset_name dresscode --dataset_root DATA --pred_dir outputs/dresscode
    python evaluate.py --pred_dir MINE --truth_dir TRUE --metrics ssim lpips

Predictions lie at PRED_DIR/<category>/<garment stem>.png, where inference_dataset.py puts them. With --truth_dir, two
folders are compared: pictures of the same relative path belong together.
"""

import argparse
import csv
import io
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import command_line
from temu_vtoff.datasets import DATASETS, ORDERS, PHASES
from temu_vtoff.files import writable_folder, write_text
from temu_vtoff.metrics import CLIP_MODEL, DEFAULT_METRICS, DINO_MODEL, METRICS
from temu_vtoff.pictures import RESIZE_MODES, open_picture
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.masks import CATEGORIES

if TYPE_CHECKING:
    from temu_vtoff.metrics.evaluation import Scores
    from temu_vtoff.metrics.matching import Matching


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument_group("what").add_argument
    add("--pred_dir", type=Path, required=True, help="the predictions")
    add("--output_dir", type=Path, help="where results are written; when absent, PRED_DIR with _evaluation added")
    add("--dataset_name", choices=DATASETS, help="dataset that the predictions are of")
    add("--dataset_root", type=Path, help="its folder")
    add("--phase", default="test", choices=PHASES, help="its split")
    add("--order", default="paired", choices=ORDERS, help="list of pairs that the predictions were made from")
    add("--category", default="all", choices=(*CATEGORIES, "all"), help="compare one category only")
    add("--truth_dir", type=Path, help="folder of true pictures, instead of a dataset")
    add("--photo_dir", type=Path, help="with --truth_dir: the photos, to be shown in the report")
    add("--allow_missing", action="store_true", help="leave out what has no partner instead of stopping")
    add = parser.add_argument_group("how").add_argument
    add("--metrics", nargs="+", choices=METRICS, metavar="METRIC", help=_metrics_help())
    add("--width", type=command_line.positive, help="pixels; when absent, the first prediction's own")
    add("--height", type=command_line.positive, help="likewise")
    add("--resize_mode", default="pad", choices=RESIZE_MODES, help="for pictures of another aspect ratio")
    add("--seed", type=int, default=0, help="of KID's subsets")
    add("--batch_size", type=command_line.positive, default=8, help="pairs compared at once")
    add("--num_workers", type=int, default=0, help="processes that read pictures")
    add("--clip_model", default=CLIP_MODEL, help="for clip_i, hub id or folder")
    add("--dino_model", default=DINO_MODEL, help="for dino, hub id or folder")
    add("--device", help="cpu, cuda, cuda:1 or mps; the best there is when absent")
    return parser.parse_args(argv)


def _metrics_help() -> str:
    return f"of {', '.join(METRICS)}; when absent {' '.join(DEFAULT_METRICS)}, and for unpaired lists fid kid"


def match(args: argparse.Namespace) -> "Matching":
    """The pairs to compare; stops where something has no partner, unless told not to."""
    from temu_vtoff.datasets import open_dataset
    from temu_vtoff.metrics.matching import match_dataset, match_folders

    if (args.dataset_name is None) != (args.dataset_root is None):
        raise ValueError("--dataset_name and --dataset_root go together.")
    if (args.dataset_name is None) == (args.truth_dir is None):
        raise ValueError("Give --dataset_name and --dataset_root, or --truth_dir to compare with a folder.")
    if args.truth_dir is not None:
        found = match_folders(args.pred_dir, args.truth_dir, args.photo_dir)
    else:
        options = {"phase": args.phase, "order": args.order, "category": args.category, "load": ()}
        found = match_dataset(open_dataset(args.dataset_name, args.dataset_root, **options).items, args.pred_dir)
    if not args.allow_missing:
        found.require_complete("Finish them, or give --allow_missing to leave those out.")
    if not found.pairs:
        raise ValueError(f"None of the pictures in {args.pred_dir} belongs to a truth: is it the right folder?")
    return found


def main(args: argparse.Namespace) -> None:
    started = time.time()
    matching = match(args)
    output_dir = args.output_dir if args.output_dir is not None else Path(f"{args.pred_dir}_evaluation")
    output_dir = writable_folder(output_dir)
    own_size = open_picture(matching.pairs[0].prediction).size
    width = own_size[0] if args.width is None else args.width
    height = own_size[1] if args.height is None else args.height
    wanted = args.metrics
    if wanted is None:
        wanted = DEFAULT_METRICS if args.order == "paired" else [name for name in METRICS if METRICS[name].of_sets]

    from temu_vtoff.hardware.devices import choose_device
    from temu_vtoff.metrics.evaluation import Evaluator

    command_line.quiet_libraries()
    device = choose_device(args.device)
    evaluate = Evaluator(
        wanted,
        width,
        height,
        args.resize_mode,
        device,
        args.seed,
        clip_model=args.clip_model,
        dino_model=args.dino_model,
    )
    for name, reason in evaluate.skipped.items():
        command_line.say(f"{METRICS[name].title} is left out: {reason}")
    scores = evaluate(
        matching.pairs, args.batch_size, args.num_workers, lambda batches: command_line.progress(batches, "compare")
    )
    write_results(output_dir, args, scores, matching, width, height)
    write_run_record(output_dir, vars(args), started, device=str(device))
    for name in ("metrics.json", "per_item.csv", "report.html"):
        print(output_dir / name)


def write_results(
    output_dir: Path, args: argparse.Namespace, scores: "Scores", matching: "Matching", width: int, height: int
) -> None:
    from temu_vtoff.metrics.report import Setting, render_report

    rule = (
        f"Predictions and truths alike: turned upright, RGB, then {args.resize_mode} to that size with Lanczos "
        "resampling; FID and KID resize from there as clean-fid does."
    )
    title = f"Evaluation of {args.pred_dir}"
    if args.dataset_name is not None:
        title += f" on {args.dataset_name}, {args.phase}, {args.order}, {args.category}"
    results: dict[str, Any] = {
        "title": title,
        "items": len(scores.pairs),
        "width": width,
        "height": height,
        "resize": rule,
        "kid_seed": args.seed,
        "metrics": scores.summary(),
        "skipped": scores.skipped,
        "missing": matching.missing,
        "extra": matching.extra,
    }
    write_text(output_dir / "metrics.json", json.dumps(_plain(results), indent=1, ensure_ascii=False) + "\n")

    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["key", "category", "prediction", "truth", *scores.per_item])
    for index, pair in enumerate(scores.pairs):
        values = (float(found[index]) for found in scores.per_item.values())
        rows.writerow([pair.key, pair.category, pair.prediction, pair.truth, *values])
    write_text(output_dir / "per_item.csv", table.getvalue())

    setting = Setting(
        title=title,
        command=" ".join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        rule=rule,
        width=width,
        height=height,
        dataset_name=args.dataset_name,
        order=args.order,
        missing=matching.missing,
        extra=matching.extra,
    )
    write_text(output_dir / "report.html", render_report(scores, setting))


def _plain(value: Any) -> Any:
    """Strict JSON has no infinities: "inf" for the PSNR of equal pictures, null for what is undefined by it."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


if __name__ == "__main__":
    arguments = parse_args()
    command_line.run(main, arguments)

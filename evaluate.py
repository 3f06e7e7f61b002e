"""Predicted pictures against the true ones: metrics.json, per_item.csv and report.html.

    python evaluate.py --dataset_name dresscode --dataset_root DATA --pred_dir outputs/dresscode
    python evaluate.py --task try_on --dataset_name dresscode --dataset_root DATA --pred_dir outputs/tryon
    python evaluate.py --pred_dir MINE --truth_dir TRUE --metrics ssim lpips
    python evaluate.py --dataset_name dresscode --dataset_root DATA --pred_dir A B C --names temu-vtoff klein qwen

Predictions lie at PRED_DIR/<category>/<garment stem>.png, where inference_dataset.py puts them. With --truth_dir, two
folders are compared: pictures of the same relative path belong together. The truth of try-on is the photo; for unpaired
lists of drawn people it is the same person in the other garment (DATA/truth/try_on). Several folders of predictions are
several models: comparison.html, .csv and .png show them side by side, and <output_dir>/<name>/ has each one's results.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import command_line
from temu_vtoff.datasets import DATASETS, ORDERS, PHASES, open_dataset
from temu_vtoff.errors import ArgumentError, first_few
from temu_vtoff.files import writable_folder
from temu_vtoff.metrics import CLIP_MODEL, DEFAULT_METRICS, DINO_MODEL, METRICS, SET_METRICS, default_metrics
from temu_vtoff.metrics.matching import (
    DrawnTruth,
    Matching,
    garment_truth,
    match_dataset,
    match_folders,
    person_truth,
    read_names,
    read_quality,
)
from temu_vtoff.metrics.prints import read_prints
from temu_vtoff.pictures import RESIZE_MODES, open_picture
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.categories import DATASET_CATEGORIES

DRAWN_TRUTH = "truth/try_on"  # within a dataset of drawn people

if TYPE_CHECKING:
    from temu_vtoff.metrics.report import EvaluationSettings


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument_group("what").add_argument
    add("--pred_dir", type=Path, nargs="+", required=True, help="folder of the predictions; several for several models")
    add("--names", nargs="+", metavar="NAME", help="names of several models (default: their folders' names)")
    add(
        "--output_dir", type=Path, help="folder of the results (default: PRED_DIR_evaluation; for several, _comparison)"
    )
    add("--dataset_name", choices=DATASETS, help="dataset of the true pictures")
    add("--dataset_root", type=Path, help="folder of the dataset")
    add("--task", default="try_off", choices=("try_off", "try_on"), help="what was generated")
    add("--phase", default="test", choices=PHASES, help="split of the dataset")
    add("--order", default="paired", choices=ORDERS, help="list of pairs that was generated")
    add("--category", default="all", choices=(*DATASET_CATEGORIES, "all"), help="category to compare")
    add("--truth_dir", type=Path, help="folder of true pictures, instead of a dataset")
    add("--photo_dir", type=Path, help="folder of photos to show in the report, with --truth_dir")
    add("--exclude", type=Path, help="file of items to leave out, a name a line: ids, file names or <category>/<stem>")
    add("--allow_missing", action="store_true", help="leave out pictures without a partner instead of stopping")
    add = parser.add_argument_group("how").add_argument
    add("--metrics", nargs="+", choices=METRICS, metavar="METRIC", help=_metrics_help())
    add("--width", type=command_line.positive, help="width in pixels (default: the first prediction's)")
    add("--height", type=command_line.positive, help="height in pixels (default: the first prediction's)")
    add("--resize_mode", default="pad", choices=RESIZE_MODES, help="how pictures of another aspect ratio are fitted")
    add("--seed", type=int, default=0, help="seed of KID's random subsets")
    add("--batch_size", type=command_line.positive, default=8, help="pairs per batch")
    add("--num_workers", type=int, default=0, help="processes that read pictures")
    add("--clip_model", default=CLIP_MODEL, help="CLIP model of clip_i: hub id or folder")
    add("--dino_model", default=DINO_MODEL, help="DINO model of dino: hub id or folder")
    add("--device", help="cpu, cuda, cuda:1 or mps (default: the best available)")
    return parser.parse_args(argv)


def _metrics_help() -> str:
    by_order = f"{' '.join(DEFAULT_METRICS)}; for unpaired lists {' '.join(SET_METRICS)}"
    return f"any of {', '.join(METRICS)} (default: {by_order})"


def match(args: argparse.Namespace, pred_dir: Path) -> Matching:
    """The pairs of a folder of predictions, and the pictures without a partner.

    Raises:
        ValueError: Contradicting arguments, or something has no partner and `allow_missing` is not set.
    """
    if (args.dataset_name is None) != (args.dataset_root is None):
        raise ArgumentError("{dataset_name} and {dataset_root} go together.", "dataset_name", "dataset_root")
    if (args.dataset_name is None) == (args.truth_dir is None):
        raise ArgumentError(
            "Give {dataset_name} and {dataset_root}, or {truth_dir} to compare with a folder.",
            *("dataset_name", "dataset_root", "truth_dir"),
        )
    if args.truth_dir is not None:
        found = match_folders(pred_dir, args.truth_dir, args.photo_dir)
    else:
        options = {"phase": args.phase, "order": args.order, "category": args.category, "load": ()}
        items = open_dataset(args.dataset_name, args.dataset_root, **options).items
        truth_of = garment_truth if args.task == "try_off" else person_truth
        if has_drawn_truth(args):
            truth_of = DrawnTruth(args.dataset_root / DRAWN_TRUTH)
        prints = read_prints(args.dataset_root, args.phase) if args.task == "try_off" else {}
        found = match_dataset(items, pred_dir, truth_of, prints)
    if args.exclude is not None:
        found = found.without(read_names(args.exclude))
    if not args.allow_missing:
        found.require_complete()
    if not found.pairs:
        raise ValueError(f"None of the pictures in {pred_dir} belongs to a true picture; check the folder.")
    return found


def has_drawn_truth(args: argparse.Namespace) -> bool:
    """Whether an unpaired try-on run has a picture to compare each of its own with."""
    if args.dataset_root is None or (args.task, args.order) != ("try_on", "unpaired"):
        return False
    return (args.dataset_root / DRAWN_TRUTH).is_dir()


def main(args: argparse.Namespace) -> None:
    from temu_vtoff.hardware.devices import choose_device
    from temu_vtoff.metrics.comparison import common_pairs, model_names, write_comparison
    from temu_vtoff.metrics.evaluation import Evaluator
    from temu_vtoff.metrics.results import write_results

    started = time.time()
    command_line.quiet_libraries()
    folders, several = args.pred_dir, len(args.pred_dir) > 1
    if args.names is not None and not several:
        raise ArgumentError("{names} are for several folders in {pred_dir}.", "names", "pred_dir")
    names = model_names(folders, args.names)
    matchings = [match(args, folder) for folder in folders]
    if args.exclude is not None:
        say_excluded(args.exclude, matchings[0])
    pairs, left_out = common_pairs(matchings)
    if not pairs[0]:
        raise ValueError("No item has a picture of every model; check the folders.")
    ending = "comparison" if several else "evaluation"
    output_dir = args.output_dir if args.output_dir is not None else Path(f"{folders[0]}_{ending}")
    output_dir = writable_folder(output_dir)
    own_size = open_picture(pairs[0][0].prediction).size
    width = own_size[0] if args.width is None else args.width
    height = own_size[1] if args.height is None else args.height
    device = choose_device(args.device)
    evaluate = Evaluator(
        default_metrics("paired" if has_drawn_truth(args) else args.order) if args.metrics is None else args.metrics,
        width=width,
        height=height,
        resize_mode=args.resize_mode,
        device=device,
        seed=args.seed,
        clip_model=args.clip_model,
        dino_model=args.dino_model,
    )
    for name, reason in evaluate.skipped.items():
        command_line.say(f"{METRICS[name].title} is left out: {reason}")
    scores, written = {}, []
    for name, folder, matching, own in zip(names, folders, matchings, pairs, strict=True):
        progress = partial(command_line.progress, what=f"compare {name}" if several else "compare")
        scores[name] = evaluate(own, args.batch_size, args.num_workers, progress)
        place = writable_folder(output_dir / name) if several else output_dir
        missing = [*matching.missing, *(left_out if several else ())]
        facts = {"missing": list(dict.fromkeys(missing)), "extra": matching.extra, "quality": read_quality(folder)}
        about = settings(args, str(folder), width=width, height=height, excluded=matching.excluded, **facts)
        written += write_results(place, scores[name], about)
    if several:
        about = settings(args, ", ".join(names), width=width, height=height, excluded=matchings[0].excluded)
        written = write_comparison(output_dir, scores, about, left_out)
    write_run_record(output_dir, vars(args), started, device=str(device))
    print(*written, sep="\n")


def say_excluded(path: Path, matching: Matching) -> None:
    """Prints how many items were left out, and which names of the file belong to none."""
    command_line.say(f"{len(matching.excluded)} items are left out, as {path} says.")
    if unknown := matching.unknown(read_names(path)):
        command_line.say(f"warning: {len(unknown)} names in {path} belong to no item: {first_few(unknown)}")


def settings(args: argparse.Namespace, what: str, **facts: Any) -> "EvaluationSettings":
    """What the results say of how they were made: the flags and further `facts`."""
    from temu_vtoff.metrics.report import EvaluationSettings

    title = f"Evaluation of {what}"
    if args.dataset_name is not None:
        title += f" on {args.dataset_name}, {args.phase}, {args.order}, {args.category}"
        title += " (try-on)" if args.task == "try_on" else ""
    return EvaluationSettings(
        title=title,
        command=" ".join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        resize_mode=args.resize_mode,
        seed=args.seed,
        dataset_name=args.dataset_name if args.task == "try_off" else None,  # published numbers are of try-off
        order=args.order,
        **facts,
    )


if __name__ == "__main__":
    command_line.run(main, parse_args())

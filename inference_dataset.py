"""Pictures for a split of DressCode or VITON-HD, by try-off or try-on; evaluate.py compares them with the true ones.

    python inference_dataset.py --dataset_name dresscode --dataset_root DATA --output_dir outputs/dresscode --caption
    accelerate launch --num_processes 8 inference_dataset.py --dataset_name vitonhd --dataset_root DATA \\
        --output_dir outputs/vitonhd --caption_file captions_0_2.json --mixed_precision bf16 \\
        --pretrained_model_name_or_path stabilityai/stable-diffusion-3-medium-diffusers \\
        --pretrained_model_name_or_path_sd3_tryoff davidelobba/TEMU-VTOFF
    python inference_dataset.py --task try_on --order unpaired --dataset_name dresscode --dataset_root DATA \\
        --output_dir outputs/tryon --tryon_model BoyuanJiang/FitDiT

Writes OUTPUT_DIR/<category>/<garment stem>.png, manifest.csv and run.json; with unpaired lists the person's stem comes
first. After a kill, the same command makes what is missing and tries again what failed. The pictures depend on the
seed, not on processes, order or interruptions.
"""

import argparse
import time
from dataclasses import fields
from pathlib import Path

import command_line
import command_line.dataset
from temu_vtoff.builtin import BUILTIN, NOTICE
from temu_vtoff.datasets import MASK_TYPES, ORDERS
from temu_vtoff.errors import ArgumentError
from temu_vtoff.finishing.finish import Finish
from temu_vtoff.runs.task import ALL, MISSING, TryOffTask, TryOnTask
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.tryon_options import OFFSETS, TryOnOptions

OF_TRYOFF = ("mask_dir", "mask_type", "caption", "caption_file", "text_features_dir", "image_features_dir")
OF_TASKS = {  # flags that only one of the tasks has, with their defaults
    "try_off": {name: getattr(TryOffTask, name) for name in OF_TRYOFF}
    | {name: getattr(Options, name) for name in ("resize_mode", "backend", "prompt_template", "focus")}
    | {"lora": []}
    | {field.name: field.default for field in fields(Finish)},
    "try_on": {name: getattr(TryOnOptions, name) for name in ("tryon", "region", "pose_model", *OFFSETS)}
    | {"no_paste": False},
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    group = command_line.dataset.add_dataset_flags(parser, phase=TryOffTask.phase)
    group.add_argument("--task", default="try_off", choices=OF_TASKS, help="product pictures, or persons in garments")
    group.add_argument(
        "--order",
        default=TryOffTask.order,
        choices=ORDERS,
        help="list of pairs; unpaired: captions, or garments to try on, are others than the person wears",
    )
    group.add_argument("--limit", type=command_line.positive, help="use only the first LIMIT items of each category")
    group.add_argument("--output_dir", required=True, type=Path, help="folder for pictures and manifest")
    choices = {"nargs": "?", "const": MISSING, "choices": (MISSING, ALL)}
    group.add_argument("--segment", **choices, help="use the segmenter: for items without label map, or for all")
    _add_tryoff_flags(parser, choices)
    command_line.add_tryon_flags(parser)
    group = parser.add_argument_group("running")
    group.add_argument("--seed", type=int, default=TryOffTask.seed, help="random seed")
    command_line.dataset.add_reading_flags(group, "photos", batch_size=4, num_workers=TryOffTask.num_workers)
    command_line.add_finishing_flags(parser)
    command_line.add_option_flags(parser)
    return parser.parse_args(argv)


def _add_tryoff_flags(parser: argparse.ArgumentParser, choices: dict) -> None:
    group = parser.add_argument_group("try-off: masks and captions")
    group.add_argument("--mask_dir", type=Path, help="masks made by SegCloth.py; with --segment, folder for the masks")
    group.add_argument(
        "--mask_type",
        default=TryOffTask.mask_type,
        choices=MASK_TYPES,
        help="fine: the garment's pixels; bounding_box: their box; mask: a loose outline",
    )
    group.add_argument(
        "--fine_mask", dest="mask_type", action="store_const", const="fine", help="the same as --mask_type fine"
    )
    command_line.dataset.add_caption_file_flag(group)
    group.add_argument("--caption", **choices, help="make captions of the photos: for items without one, or for all")
    group.add_argument("--text_features_dir", type=Path, help="folder written by precompute_text_features.py")
    group.add_argument("--image_features_dir", type=Path, help="folder written by precompute_image_features.py")


def main(args: argparse.Namespace) -> int:
    started = time.time()
    is_tryon = args.task == "try_on"
    check_task(args)
    kind = TryOnTask if is_tryon else TryOffTask
    task = kind(**{field.name: getattr(args, field.name) for field in fields(kind)})
    options = command_line.options(args, *([TryOnOptions] if is_tryon else []))

    from temu_vtoff.runs.sharing import Share
    from temu_vtoff.runs.tryoff import DatasetTryOff
    from temu_vtoff.runs.tryon import DatasetTryOn

    command_line.quiet_libraries()
    with Share.join() as share:
        work = (DatasetTryOn if is_tryon else DatasetTryOff)(task, options, share, command_line.progress)
        if BUILTIN in work.models.values() and share.is_first:
            command_line.say(NOTICE)
        outcome = work.run()
        facts = {"models": work.models, "taken": work.taken, "where": "The whole list: manifest.csv."}
        return command_line.dataset.conclude(
            args, outcome, task.output_dir, share=share, made="pictures", started=started, **facts
        )


def check_task(args: argparse.Namespace) -> None:
    """
    Raises:
        ArgumentError: A flag of the other task was given.
    """
    for task, defaults in OF_TASKS.items():
        for name, default in defaults.items():
            if task != args.task and getattr(args, command_line.flag(name).removeprefix("--")) != default:
                raise ArgumentError(f"{{{name}}} is for {{task}} {task}.", name, "task")


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Captions of garments' shapes, one line each: of a picture, or of a whole dataset.

The captioner is Qwen2.5-VL, or any other image-text-to-text model of transformers (--caption_model).

    python precompute_utils/captioning_qwen.py --image_path photo.jpg --category upper_body \\
        --output_path outputs/photo_caption.txt
    accelerate launch --num_processes 8 precompute_utils/captioning_qwen.py --dataset_name dresscode \\
        --dataset_root DATA --output_path captions/dresscode --temperatures 0.2 1.0 --batch_size 16

    from precompute_utils.captioning_qwen import Captioner
    captioner = Captioner.from_pretrained()
    captions = captioner([Image.open(path) for path in paths], "dresses")

For a dataset it writes OUTPUT_PATH_<source>_<temperature>.json, {item id: [caption]}, here
captions/dresscode_person_0_2.json and captions/dresscode_person_1_0.json.
With --attributes, the attributes that the captions name stand beside them: OUTPUT_PATH with the ending .json for a
picture, captions/dresscode_person_0_2_attributes.json for a dataset.
The release captions the in-shop picture, which is the target picture (--caption_source garment). A later call with the
same flags captions only what is missing.
"""

import argparse
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
import command_line.dataset
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.captioning.attributes import write_attributes
from temu_vtoff.captioning.prompt import ATTRIBUTES, MAX_NEW_TOKENS, SOURCES, TEMPERATURE
from temu_vtoff.captioning.server import ApiCaptioner
from temu_vtoff.datasets.captions import read_captions
from temu_vtoff.files import writable_folder, write_text
from temu_vtoff.hub.sources import PUBLISHED_CAPTIONER
from temu_vtoff.lazy import lazy_names
from temu_vtoff.pictures import open_picture

if TYPE_CHECKING:
    import torch

    from temu_vtoff.captioning import CaptionMaker
    from temu_vtoff.runs.sharing import Share

__getattr__, __dir__ = lazy_names("temu_vtoff", {"Captioner": "captioning.captioner"})  # imported on first use

DRAWN_ONLY = f"The built-in captioner knows drawn people only; for photographs use {PUBLISHED_CAPTIONER}."


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    parser.add_argument_group("picture").add_argument("--image_path", type=Path, help="picture to caption")
    command_line.dataset.add_dataset_flags(parser, required=False, phase="all", every_phase=True, category=False)
    group = parser.add_argument_group("captions")
    group.add_argument(
        *("--output_path", "--filename"),
        type=Path,
        help="for a picture, the .txt file to write; for a dataset, the first part of the caption files' paths",
    )
    group.add_argument(
        *("--category", "--image_category"),
        choices=(*ATTRIBUTES, "all"),
        help="garment to describe; default: upper_body for a picture, all for a dataset",
    )
    group.add_argument(
        "--caption_source",
        default="person",
        choices=SOURCES,
        help="person: the garment is worn; garment: a product picture",
    )
    group.add_argument(
        *("--temperature", "--temperatures"),
        dest="temperatures",
        nargs="+",
        type=float,
        default=[TEMPERATURE],
        help="0 takes the likeliest words; higher values vary more. A dataset gets a file for each",
    )
    group.add_argument(
        "--max_new_tokens", type=command_line.positive, default=MAX_NEW_TOKENS, help="longer captions are cut"
    )
    group.add_argument(
        "--attributes",
        action="store_true",
        help="also write each garment's attributes as JSON: type, fit, waist, hem, neckline, sleeve length, length; "
        "null for what the caption leaves out",
    )
    group.add_argument("--seed", type=int, default=0, help="random seed")
    command_line.dataset.add_reading_flags(group, "pictures", batch_size=8)
    command_line.add_captioner_flags(parser)
    args = parser.parse_args(argv)
    if args.dataset_name is None and None in (args.image_path, args.output_path):
        parser.error("a picture needs --image_path and --output_path, a dataset --dataset_name and so on")
    if args.dataset_name is None and args.category == "all":
        parser.error("--category all is for datasets: name the garment of the picture")
    if args.dataset_name is not None and None in (args.dataset_root, args.output_path):
        parser.error("a dataset needs --dataset_name, --dataset_root and --output_path")
    return args


def load_captioner(args: argparse.Namespace, device: "torch.device") -> "CaptionMaker":
    """The captioner: a local model, or a server's with --api_base."""
    if args.api_base is not None:
        return ApiCaptioner(args.api_base, args.caption_model, args.concurrency)
    from temu_vtoff.captioning.captioner import Captioner
    from temu_vtoff.hardware.devices import choose_dtype

    dtype = choose_dtype(args.mixed_precision, device)
    return Captioner.from_pretrained(args.caption_model, device, dtype, max_pixels=args.max_pixels)


def caption_picture(args: argparse.Namespace) -> None:
    """Captions --image_path into --output_path."""
    from temu_vtoff.hardware.devices import choose_device

    if len(args.temperatures) > 1:
        raise ValueError("A picture takes one --temperature.")
    picture = open_picture(args.image_path)
    if args.output_path.suffix != ".txt":
        raise ValueError(f"--output_path is {args.output_path}; give a .txt file.")
    writable_folder(args.output_path.parent)
    (caption,) = load_captioner(args, choose_device(args.device))(
        [picture],
        ["upper_body" if args.category is None else args.category],
        source=args.caption_source,
        temperature=args.temperatures[0],
        max_new_tokens=args.max_new_tokens,
        seed=[args.seed],
    )
    if isinstance(caption, Exception):
        raise caption
    if not caption:
        raise ValueError(f"{args.caption_model} answered nothing to {args.image_path}; try --seed.")
    write_text(args.output_path, caption + "\n")
    if args.attributes:
        write_attributes(args.output_path.with_suffix(".json"), caption)
    print(f"{args.output_path}: {caption}")


def caption_dataset(args: argparse.Namespace, share: "Share", started: float) -> bool:
    """Captions a dataset; returns whether every item has its captions."""
    from temu_vtoff.runs.captioning import caption_file, caption_phases
    from temu_vtoff.runs.phases import Outcome, finish, require_unique_ids

    datasets = command_line.dataset.open_phases(args, load=[args.caption_source])
    require_unique_ids(datasets)
    folder, name = writable_folder(args.output_path.parent), args.output_path.name
    load = cache(lambda: load_captioner(args, share.device(args.device)))
    total, failures = 0, []
    for temperature in args.temperatures:
        path = caption_file(folder, name, args.caption_source, temperature)
        outcome = caption_phases(
            datasets,
            path,
            load,
            share=share,
            batch_size=args.batch_size if args.api_base is None else 4 * args.concurrency,
            settings={"model": args.caption_model, "seed": args.seed, "tokens": args.max_new_tokens},
            journal_dir=folder / f"{name}_journal",
            progress=command_line.progress,
            source=args.caption_source,
            temperature=temperature,
            max_new_tokens=args.max_new_tokens,
            seed=args.seed,
            num_workers=args.num_workers,
        )
        if share.is_first:
            command_line.dataset.report(outcome)
            print(f"{path}: {outcome.done} of {outcome.total} captions")
            if args.attributes:
                write_attributes(path.with_name(f"{path.stem}_attributes.json"), read_captions(path))
        total, failures = total + outcome.total, [*failures, *outcome.failures]
    finish(share, folder, Outcome(total, failures), arguments=vars(args), started=started)
    return not failures


def main(args: argparse.Namespace) -> int:
    started = time.time()
    command_line.quiet_libraries("transformers")
    if args.caption_model == BUILTIN:
        command_line.say(DRAWN_ONLY)
    if args.dataset_name is None:
        caption_picture(args)
        return 0
    from temu_vtoff.runs.sharing import Share

    with Share.join() as share:
        return 0 if caption_dataset(args, share, started) else 1


if __name__ == "__main__":
    command_line.run(main, parse_args())

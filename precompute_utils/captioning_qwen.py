"""Captions of garments' shapes by Qwen2.5-VL, one line each: of a picture, or of a whole dataset.

    python precompute_utils/captioning_qwen.py --image_path photo.jpg --image_category upper_body \\
        --output_path outputs/photo_caption.txt
    accelerate launch --num_processes 8 precompute_utils/captioning_qwen.py --dataset_name dresscode \\
        --dataset_root DATA --filename captions/dresscode --temperatures 0.2 1.0 --batch_size 16

    from precompute_utils.captioning_qwen import Captioner
    captioner = Captioner.from_pretrained()
    captions = captioner([Image.open(path) for path in paths], "dresses")

Of a dataset it writes FILENAME_<source>_<temperature>.json, {item id: [caption]}: captions/dresscode_person_0_2.json.
The release looked at the in-shop picture, that is at the answer (--caption_source garment). Started again, it captions
only what is missing.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
import command_line.dataset
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.captioning.prompt import ATTRIBUTES, SOURCES
from temu_vtoff.captioning.qwen import MAX_PIXELS, Captioner
from temu_vtoff.files import writable_folder, write_text
from temu_vtoff.hub.sources import PUBLISHED_CAPTIONER
from temu_vtoff.pictures import open_picture
from temu_vtoff.runs.record import write_run_record

if TYPE_CHECKING:
    import torch

    from temu_vtoff.datasets import Item
    from temu_vtoff.runs.captioning import CaptionMaker
    from temu_vtoff.runs.sharing import Share

__all__ = ["Captioner"]

DRAWN_ONLY = f"The built-in captioner knows drawn people only; for photographs use {PUBLISHED_CAPTIONER}."


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument_group("a picture").add_argument
    add("--image_path", type=Path, help="the picture")
    add("--output_path", type=Path, help="the text file to write")
    add("--image_category", default="upper_body", choices=tuple(ATTRIBUTES), help="the garment meant")
    group = command_line.dataset.add_dataset_flags(parser, required=False, phase="all", every_phase=True)
    group.add_argument("--filename", type=Path, help="path of the caption files, up to the source")
    add = parser.add_argument_group("how").add_argument
    add("--caption_source", default="person", choices=SOURCES, help="what the pictures show: it worn, or it alone")
    add(
        *("--temperature", "--temperatures"),
        dest="temperatures",
        nargs="+",
        type=float,
        default=[0.2],
        help="0 for the likeliest words; the higher, the more varied; of a dataset, a file for each",
    )
    add("--max_new_tokens", type=command_line.positive, default=75, help="longer captions are cut")
    add("--seed", type=int, default=0, help="of the sampling; of a dataset, each item's own comes from it and the id")
    add("--batch_size", type=command_line.positive, default=8, help="pictures captioned at once")
    add("--num_workers", type=int, default=2, help="processes that read pictures")
    add = parser.add_argument_group("model").add_argument
    add(
        "--pretrained_model_name_or_path",
        default=PUBLISHED_CAPTIONER,
        metavar="MODEL",
        help='hub id, folder, "builtin"',
    )
    add(
        "--max_pixels",
        type=command_line.positive,
        help="larger pictures are reduced to so many pixels, 28x28 for a visual token; when absent, the model's own "
        f"bound, but at most {MAX_PIXELS}",
    )
    add("--api_base", metavar="URL", help="ask an OpenAI-compatible server that serves MODEL: http://localhost:8000/v1")
    add("--concurrency", type=command_line.positive, default=8, help="with --api_base: questions under way at once")
    command_line.add_device_flags(parser, offload=False)
    args = parser.parse_args(argv)
    if args.dataset_name is None and None in (args.image_path, args.output_path):
        parser.error("a picture needs --image_path and --output_path, a dataset --dataset_name and so on")
    return args


def load_captioner(args: argparse.Namespace, device: "torch.device") -> "CaptionMaker":
    """The model here, or the one that a server holds."""
    if args.api_base is not None:
        from temu_vtoff.captioning.server import ApiCaptioner

        return ApiCaptioner(args.api_base, args.pretrained_model_name_or_path, args.concurrency)
    from temu_vtoff.hardware.devices import choose_dtype

    dtype = choose_dtype(args.mixed_precision, device)
    return Captioner.from_pretrained(args.pretrained_model_name_or_path, device, dtype, max_pixels=args.max_pixels)


def caption_picture(args: argparse.Namespace) -> None:
    if len(args.temperatures) > 1:
        raise ValueError("A picture takes one --temperature.")
    picture = open_picture(args.image_path)
    if args.output_path.suffix != ".txt":
        raise ValueError(f"--output_path is {args.output_path}; give a .txt file.")
    writable_folder(args.output_path.parent)
    from temu_vtoff.hardware.devices import choose_device

    (caption,) = load_captioner(args, choose_device(args.device))(
        [picture],
        [args.image_category],
        source=args.caption_source,
        temperature=args.temperatures[0],
        max_new_tokens=args.max_new_tokens,
        seed=[args.seed],
    )
    if isinstance(caption, Exception):
        raise caption
    if not caption:
        raise ValueError(f"{args.pretrained_model_name_or_path} answered nothing to {args.image_path}; try --seed.")
    write_text(args.output_path, caption + "\n")
    print(f"{args.output_path}: {caption}")


def caption_dataset(args: argparse.Namespace, share: "Share") -> int:
    """The number of items without caption."""
    from temu_vtoff.datasets.captions import read_captions
    from temu_vtoff.files import remove_leftovers
    from temu_vtoff.runs.captioning import caption_items, journal_captions, write_captions
    from temu_vtoff.runs.journal import Journal
    from temu_vtoff.runs.settings import keep_settings
    from temu_vtoff.runs.sharing import cut_batches

    if args.dataset_root is None or args.filename is None:
        raise ValueError("A dataset needs --dataset_name, --dataset_root and --filename.")
    datasets = command_line.dataset.open_phases(args, load=[args.caption_source])
    command_line.dataset.require_unique_ids(datasets)
    folder = writable_folder(args.filename.parent)
    captioner = load_captioner(args, share.device(args.device))
    together = args.batch_size if args.api_base is None else 4 * args.concurrency
    total = 0
    for temperature in args.temperatures:
        name = f"{args.filename.name}_{args.caption_source}_{str(temperature).replace('.', '_')}"
        path = folder / f"{name}.json"
        journal = Journal(folder / f"{args.filename.name}_journal", name, share.index)
        settings = {"model": args.pretrained_model_name_or_path, "seed": args.seed, "tokens": args.max_new_tokens}
        keep_settings(journal.folder / f"{name}.settings.json", settings)
        known = read_captions(path) if path.exists() else {}
        failures: dict[Item, str] = {}
        for dataset in datasets:
            failures |= caption_items(
                dataset,
                share.of(cut_batches(dataset.items, together)),
                captioner,
                journal,
                args.caption_source,
                temperature,
                args.max_new_tokens,
                args.seed,
                known,
                args.num_workers,
                command_line.dataset.progress(share, f"caption {dataset.phase}, temperature {temperature:g}"),
            )
        failed = command_line.dataset.gather_failures(share, failures)
        if share.is_first:
            captions = known | journal_captions(journal)
            write_captions(path, captions)
            print(f"{path}: {len(captions)} captions")
        total += failed
    if share.is_first:
        remove_leftovers(journal.folder)
    return total


def main(args: argparse.Namespace) -> int:
    started = time.time()
    command_line.quiet_libraries("transformers")
    if args.pretrained_model_name_or_path == BUILTIN:
        command_line.say(DRAWN_ONLY)
    if args.dataset_name is None:
        caption_picture(args)
        return 0
    from temu_vtoff.runs.sharing import Share

    with Share.join() as share:
        failed = caption_dataset(args, share)
        if share.is_first:
            write_run_record(args.filename.parent, vars(args), started, processes=share.count, failed=failed)
    return 1 if failed else 0


if __name__ == "__main__":
    command_line.run(main, parse_args())

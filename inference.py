"""Photo in, product picture out: segment the garment, caption it, try it off.

    python inference.py --example_image examples/example1.jpg --category upper_body
    python inference.py --example_image photos/ --category all --output_dir outputs \\
        --pretrained_model_name_or_path stabilityai/stable-diffusion-3-medium-diffusers \\
        --pretrained_model_name_or_path_sd3_tryoff davidelobba/TEMU-VTOFF

Writes per photo <stem>_output.png, _binary_mask.png, _fine_mask.png, _caption.txt and _panel.png, and one run.json.
With --category all the category follows the stem; further pictures are _output_2.png and so on. For a shop, cut out and
framed, and the best of four; docs/finishing.md explains these flags:

    python inference.py --example_image photos/ --background white --margin 8% --canvas 1200x1600 \\
        --num_images 4 --pick best

Photos may be http(s) addresses, or rows of a list with their own categories and names (docs/inputs.md). Each finished
garment adds a line to results.jsonl, so that a kill loses no result; the same command then starts again.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import command_line
import temu_vtoff
from command_line.fetching import fetch
from temu_vtoff.backends.registry import check_category
from temu_vtoff.builtin import NOTICE
from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import writable_folder
from temu_vtoff.finishing.finish import Finish
from temu_vtoff.pictures import find_pictures, open_picture
from temu_vtoff.pictures.addresses import is_address
from temu_vtoff.runs.garment_files import GarmentFiles, keep_last_lines
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.categories import ALL, CATEGORIES
from temu_vtoff.stages.garment import Garment
from temu_vtoff.stages.grouping import choose_each, in_groups
from temu_vtoff.stages.lists import COLUMNS, group_by_pattern, read_list
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.reading import Frame

EXAMPLE = Path(__file__).parent / "examples" / "example1.jpg"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument_group("what").add_argument
    add(
        "--example_image",
        nargs="+",
        type=lambda text: text if is_address(text) else Path(text),
        metavar="PHOTO",
        help="photos, folders of them, or http(s) addresses (default: examples/example1.jpg)",
    )
    add("--list", type=Path, help=f"CSV or JSON lines instead, with columns {', '.join(COLUMNS)}; only photo is needed")
    add(
        "--group_by",
        help="photos of one garment: a column of --list, or a regular expression found in the photos' names",
    )
    add(
        "--private_addresses",
        action="store_true",
        help="allow photos at addresses of this computer and the local network",
    )
    add("--output_dir", default="outputs", help="folder of the results")
    add(
        "--category",
        default="upper_body",
        choices=(*CATEGORIES, ALL),
        help="garment; all: every garment found; shoes and smaller things only with another --backend",
    )
    command_line.add_person_flag(add)
    add("--mask", type=Path, help="mask of the garment, white on it, instead of segmenting; for one photo and category")
    add("--caption", help="caption of the garment, instead of the captioner's; for one category")
    add("--attributes", action="store_true", help="also write <stem>_attributes.json, read from the caption")
    add("--num_images", type=command_line.positive, default=1, help="images per garment, seeds SEED, SEED + 1, …")
    add("--seed", type=int, default=0, help="random seed")
    add(
        "--fetch_only",
        action="store_true",
        help="only download the models that the other flags need, and say how large they are and under which licences",
    )
    command_line.add_selection_flags(parser)
    command_line.add_finishing_flags(parser)
    command_line.add_option_flags(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    started = time.time()
    options = command_line.options(args)
    command_line.selection(args)
    if args.fetch_only:
        fetch(options, segmenter=args.mask is None, captioner=args.caption is None)
        return 0
    photos = read_photos(args)
    check(args, photos, options)
    folder = writable_folder(args.output_dir)
    if options.sources.is_builtin:
        command_line.say(NOTICE)

    toolkit = temu_vtoff.TryOff(  # only now torch, which takes a second
        options,
        downloads=folder / "photos",
        private_addresses=args.private_addresses,
        progress=command_line.progress,
    )
    command_line.quiet_libraries()
    garments = toolkit.segment(photos, args.category, mask=args.mask)
    if args.list is None and args.group_by is not None:
        group_by_pattern(garments, args.group_by)
    files = GarmentFiles(
        folder,
        Frame.of(options),
        Finish() if options.finish is None else options.finish,
        attributes=args.attributes,
        models=asdict(options.sources),
    )
    for garment in garments:
        say_warnings(garment)
        if garment.group is None:  # the others' names come with the choice
            files.write_masks(garment)
        if args.caption is not None:
            garment.caption = args.caption
    toolkit.caption(garments)
    generate(args, toolkit, garments, files=files)

    errors = {}
    for garment in garments:
        if garment.error is not None:
            errors.setdefault(garment.origin, garment.error)
    failures = command_line.skipped(errors, items=len(photos))
    warnings = {garment.name: garment.warnings for garment in garments if garment.warnings}
    outputs = [path for paths in files.outputs.values() for path in paths]
    facts = {"models": asdict(options.sources), "taken": toolkit.taken, "outputs": outputs}
    facts |= {"quality": files.quality, "warnings": warnings}
    write_run_record(folder, vars(args), started, **facts, stages=toolkit.seconds, failures=failures)
    for path in outputs:
        print(path)
    return 1 if failures else 0


def read_photos(args: argparse.Namespace) -> list[Path | str | Garment]:
    """What the flags name: paths, addresses, or a list's garments."""
    if args.list is not None:
        for name in ("example_image", "mask", "caption"):
            if getattr(args, name) is not None:
                raise ArgumentError(
                    f"{{list}} has photos, masks and captions of its own: leave out {{{name}}}.", name, "list"
                )
        return read_list(args.list, args.category, args.group_by)
    photos: list[Path | str | Garment] = []
    for source in [EXAMPLE] if args.example_image is None else args.example_image:
        photos += [source] if is_address(source) else find_pictures([source])
    return photos


def check(args: argparse.Namespace, photos: list[Path | str | Garment], options: Options) -> None:
    """Raises errors of the flags, of a single photo or of the models' sources, before anything is loaded."""
    from temu_vtoff.stages.checking import check_sources  # takes 0.2 s, which --help does not have

    check_category(args.category, options.backend)
    if len(photos) == 1 and isinstance(photos[0], Path):
        open_picture(photos[0])
    if args.mask is not None and (len(photos) > 1 or args.category == "all"):
        raise ArgumentError(
            "{mask} is for one photo and one category: give a single {example_image} and {category}.",
            *("mask", "example_image", "category"),
        )
    if args.caption is not None and args.category == "all":
        raise ArgumentError("{caption} is for one category: give {category}.", "caption", "category")
    if args.list is None and args.group_by is not None:
        group_by_pattern([], args.group_by)
    check_sources(options, segmenter=args.mask is None, captioner=args.caption is None)


def generate(
    args: argparse.Namespace, toolkit: "temu_vtoff.TryOff", garments: list[Garment], files: GarmentFiles
) -> None:
    """Makes and writes the product pictures, garment by garment."""
    groups = in_groups(garments)
    ordered = [garment for group in groups for garment in group.garments]
    how = {"seed": args.seed, "num_images": args.num_images, "selection": command_line.selection(args)}
    for choice in choose_each(groups, toolkit.generate(ordered, **how)):
        is_only = len(garments) == 1 and choice.product.error is not None  # whose error ends the run
        for path, product in files.write_choice(choice, add_line=not is_only):
            if product.quality[0].doubts:
                command_line.say(f"{path}: {product.quality[0].sentence}")
    keep_last_lines(files.folder)


def say_warnings(garment: Garment) -> None:
    """Prints the warnings about a photo, and a note if another label was used."""
    if garment.note is not None:
        command_line.say(f"{garment.origin}: {garment.note}")
    for warning in garment.warnings:
        command_line.say(f"warning: {garment.origin}, {garment.category}: {warning}")


if __name__ == "__main__":
    command_line.run(main, parse_args())

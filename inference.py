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
garment adds a line to results.jsonl. The same command after a kill makes what is missing or damaged, and with other
settings all again.
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
from temu_vtoff.pictures import find_pictures, open_picture
from temu_vtoff.pictures.addresses import is_address
from temu_vtoff.runs.finished import FinishedResults, settings_of
from temu_vtoff.runs.photo_plan import PhotoPlan
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.categories import ALL, CATEGORIES
from temu_vtoff.stages.garment import Garment
from temu_vtoff.stages.lists import COLUMNS, group_by_pattern, read_list
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.reading import as_garments

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
    add("--overwrite", action="store_true", help="make finished photos again")
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
    check(args, photos)
    plan = plan_photos(args, photos, options)
    if plan.left:
        check_models(args, options)
    folder = writable_folder(args.output_dir)
    if options.sources.is_builtin:
        command_line.say(NOTICE)
    command_line.say_finished(len(plan.photos) - len(plan.left), len(plan.photos), "photos", folder)

    run, facts = None, {"models": asdict(options.sources), "taken": {}, "stages": {}}
    if plan.left:
        from temu_vtoff.runs.photo_run import PhotoRun  # only now torch, which takes a second

        run = PhotoRun(plan, options, attributes=args.attributes, tell=command_line.say)
        toolkit = temu_vtoff.TryOff(
            options,
            downloads=folder / "photos",
            private_addresses=args.private_addresses,
            progress=command_line.progress,
        )
        command_line.quiet_libraries()
        how = {"seed": args.seed, "num_images": args.num_images, "selection": command_line.selection(args)}
        run(toolkit, plan.left if plan.finished else photos, args.category, mask=args.mask, caption=args.caption, **how)
        facts |= {"taken": toolkit.taken, "stages": toolkit.seconds}
    failures = command_line.skipped({} if run is None else run.errors, items=len(photos))
    results = plan.outcome(run)
    write_run_record(folder, vars(args), started, **facts, **results, failures=failures)
    for path in results["outputs"]:
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


def check(args: argparse.Namespace, photos: list[Path | str | Garment]) -> None:
    """Raises errors of the flags or of a single photo, before anything is loaded."""
    check_category(args.category, args.backend)
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


def check_models(args: argparse.Namespace, options: Options) -> None:
    """Raises errors of the models' sources, before anything is loaded."""
    from temu_vtoff.stages.checking import check_sources  # takes 0.2 s, which --help does not have

    check_sources(options, segmenter=args.mask is None, captioner=args.caption is None)


def plan_photos(args: argparse.Namespace, photos: list[Path | str | Garment], options: Options) -> PhotoPlan:
    """The photos with their names and groups, and which of them the output folder holds finished."""
    listed = as_garments(photos, args.category, options.backend, args.mask)
    if args.list is None and args.group_by is not None:
        group_by_pattern(listed, args.group_by)
    chosen = {name: getattr(args, name) for name in ("caption", "num_images", "seed", "attributes")}
    settings = settings_of(options, **chosen, selection=asdict(command_line.selection(args)))
    results = FinishedResults(Path(args.output_dir), "inference", settings)
    return PhotoPlan.of(listed, results, batch_size=options.batch_size, overwrite=args.overwrite)


if __name__ == "__main__":
    command_line.run(main, parse_args())

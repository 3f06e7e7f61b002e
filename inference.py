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
from temu_vtoff.captioning.attributes import write_attributes
from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import writable_folder, write_text
from temu_vtoff.finishing.finish import Finish
from temu_vtoff.pictures import find_pictures, open_picture, save_picture
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.categories import ALL, CATEGORIES
from temu_vtoff.segmentation.masks import masked_image
from temu_vtoff.stages.garment import Garment, Product
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.reading import Frame

EXAMPLE = Path(__file__).parent / "examples" / "example1.jpg"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument_group("what").add_argument
    add("--example_image", nargs="+", type=Path, default=[EXAMPLE], help="photos, or folders of them")
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
    command_line.add_sampling_flags(parser)
    command_line.add_model_flags(parser)
    command_line.add_backend_flags(parser)
    command_line.add_device_flags(parser)
    command_line.add_speed_flags(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    started = time.time()
    options = command_line.options(args)
    selection = command_line.selection(args)
    if args.fetch_only:
        fetch(options, segmenter=args.mask is None, captioner=args.caption is None)
        return 0
    photos = find_pictures(args.example_image)
    check(args, photos, options)
    folder = writable_folder(args.output_dir)
    if options.sources.is_builtin:
        command_line.say(NOTICE)

    toolkit = temu_vtoff.TryOff(options, progress=command_line.progress)  # only now torch, which takes a second
    command_line.quiet_libraries()
    garments = toolkit.segment(photos, args.category, mask=args.mask)
    write_masks(folder, garments, toolkit.options)
    for garment in garments:
        garment.caption = args.caption
    toolkit.caption(garments)
    outputs, quality = [], {}
    for product in toolkit.generate(garments, seed=args.seed, num_images=args.num_images, selection=selection):
        outputs += write_product(folder, product, options.finish)
        quality[product.garment.name] = product.facts()
        if args.attributes and product.error is None:
            write_attributes(folder / f"{product.garment.name}_attributes.json", product.garment.caption)

    failures = report(photos, garments)
    warnings = {garment.name: garment.warnings for garment in garments if garment.warnings}
    facts = {"models": asdict(options.sources), "taken": toolkit.taken, "outputs": outputs}
    facts |= {"quality": quality, "warnings": warnings}
    write_run_record(folder, vars(args), started, **facts, stages=toolkit.seconds, failures=failures)
    for path in outputs:
        print(path)
    return 1 if failures else 0


def check(args: argparse.Namespace, photos: list[Path], options: Options) -> None:
    """Raises errors of the flags, of a single photo or of the models' sources, before anything is loaded."""
    from temu_vtoff.stages.checking import check_sources  # takes 0.2 s, which --help does not have

    check_category(args.category, options.backend)
    if len(photos) == 1:
        open_picture(photos[0])
    if args.mask is not None and (len(photos) > 1 or args.category == "all"):
        raise ArgumentError(
            "{mask} is for one photo and one category: give a single {example_image} and {category}.",
            *("mask", "example_image", "category"),
        )
    if args.caption is not None and args.category == "all":
        raise ArgumentError("{caption} is for one category: give {category}.", "caption", "category")
    check_sources(options, segmenter=args.mask is None, captioner=args.caption is None)


def write_masks(folder: Path, garments: list[Garment], options: Options) -> None:
    """Writes each garment's mask and masked image; prints the warnings, and a note if another label was used."""
    frame = Frame.of(options)
    for garment in garments:
        if garment.note is not None:
            command_line.say(f"{garment.photo}: {garment.note}")
        for warning in garment.warnings:
            command_line.say(f"warning: {garment.photo}, {garment.category}: {warning}")
        if garment.error is None:
            photo, mask = frame.pair(garment)
            save_picture(mask, folder / f"{garment.name}_binary_mask.png")
            save_picture(masked_image(photo, mask), folder / f"{garment.name}_fine_mask.png")


def write_product(folder: Path, product: Product, finish: Finish | None) -> list[Path]:
    """Writes a garment's caption, product pictures and panel; returns the paths of the product pictures."""
    name, paths = product.garment.name, []
    if product.error is not None:
        return paths
    write_text(folder / f"{name}_caption.txt", product.garment.caption + "\n")
    finish = Finish() if finish is None else finish
    for number, image in enumerate(product.finished, 1):
        ending = f"output{finish.suffix}" if number == 1 else f"output_{number}{finish.suffix}"
        paths.append(save_picture(image, folder / f"{name}_{ending}", **finish.save_options()))
    save_picture(product.panel(), folder / f"{name}_panel.png")
    if product.quality[0].doubts:
        command_line.say(f"{paths[0]}: {product.quality[0].sentence}")
    return paths


def report(photos: list[Path], garments: list[Garment]) -> dict[str, str]:
    """The errors by photo, which are also printed. The error of a single photo ends the run."""
    failed = [garment for garment in garments if garment.error is not None]
    failures = {str(garment.photo): command_line.reason(garment.error) for garment in failed}
    if failed and len(photos) == 1:
        raise command_line.naming(photos[0], failed[0].error)
    for photo, reason in failures.items():
        command_line.say(f"skipped {photo}: {reason}")
    return failures


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Person and garment in, the person wearing the garment out (FitDiT); or the garment of another person's photo.

    python try_on.py --person_image person.jpg --garment_from other.jpg
    python try_on.py --person_image person.jpg --garment_image garment.jpg --tryon_model BoyuanJiang/FitDiT

Writes for every person and garment <person>_<garment>_output.png, _region.png (what was repainted) and _panel.png, and
one run.json. The same command after a kill makes the pairs that are missing.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
from temu_vtoff.backends.registry import TEMU_VTOFF
from temu_vtoff.builtin import BUILTIN, NOTICE
from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import writable_folder
from temu_vtoff.pictures import find_pictures, open_picture, save_picture
from temu_vtoff.runs.finished import FinishedResults, settings_of, unfinished_batches
from temu_vtoff.runs.pair_plan import PairPlan, pair_files
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.categories import DATASET_CATEGORIES
from temu_vtoff.stages.tryon_options import TryOnOptions
from temu_vtoff.tryon.joints import read_joints

if TYPE_CHECKING:
    from temu_vtoff.stages.fitting_room import Pair
    from temu_vtoff.stages.tryon import TryOn
    from temu_vtoff.tryon.joints import Joints


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    group = parser.add_argument_group("what")
    add = group.add_argument
    add("--person_image", nargs="+", type=Path, help="photos of persons, or folders of them")
    garment = group.add_mutually_exclusive_group()
    garment.add_argument("--garment_image", nargs="+", type=Path, help="product pictures, or folders of them")
    garment.add_argument(
        "--garment_from", nargs="+", type=Path, help="photos of persons whose garment is taken off first"
    )
    add(
        "--pairs",
        type=Path,
        help='file of "person garment" lines, instead of all pairs; names are relative to the '
        "folders --person_image and --garment_image (or --garment_from), or to the file",
    )
    add("--any_garment", action="store_true", help="don't refuse product pictures that look like photos of somebody")
    add("--output_dir", default="outputs", help="folder of the results")
    add("--category", default="upper_body", choices=DATASET_CATEGORIES, help="garment category")
    add("--num_images", type=command_line.positive, default=1, help="images per pair, seeds SEED, SEED + 1, …")
    add("--seed", type=int, default=0, help="random seed")
    add("--overwrite", action="store_true", help="make finished pairs again")
    add = parser.add_argument_group("persons").add_argument
    command_line.add_person_flag(add, "who is dressed")
    add("--mask", type=Path, help="region to repaint, white, instead of segmenting; for one person")
    add("--keypoints", type=Path, help="joints: JSON of DressCode, VITON-HD or OpenPose; for one person")
    add("--pose_image", type=Path, help="pose picture instead of one drawn from --keypoints; for one person")
    command_line.add_tryon_flags(parser)
    command_line.add_option_flags(parser, tryon=True)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    started = time.time()
    plan = read_plan(args)
    options = command_line.options(args, TryOnOptions)
    check(args, plan, options)
    joints = None if args.keypoints is None else read_joints(args.keypoints)
    folder = writable_folder(args.output_dir)
    if options.tryon == BUILTIN or (args.garment_from is not None and options.sources.is_builtin):
        command_line.say(NOTICE)
    results, made_of = find_results(args, plan, options, folder)
    done = [] if args.overwrite else [name for name in plan.names if results.find(made_of[name]) == [name]]
    left = unfinished_batches(
        list(zip(plan.names, plan.pairs, strict=True)), options.batch_size, lambda p: p[0] in done
    )
    command_line.say_finished(len(plan.names) - len(left), len(plan.names), "pairs", folder)

    failed, warnings, taken, seconds = {}, {}, {}, {}
    if left:
        from temu_vtoff.stages.tryon import TryOn  # only now torch, which takes a second

        toolkit = TryOn(options, progress=command_line.progress)
        command_line.quiet_libraries()
        pairs = prepare(args, toolkit, plan, left=left, joints=joints)
        sampling = {"seed": args.seed, "num_images": args.num_images, "paste": not args.no_paste}
        for result in toolkit.generate_pairs(pairs, **sampling):
            if result.error is None:
                files = pair_files(folder, result.pair.name, args.num_images)
                for path, picture in zip(files, [result.region, *result.images, result.panel()], strict=True):
                    save_picture(picture, path)
                results.add(result.pair.name, files, made_of=made_of[result.pair.name])
                if result.warnings:
                    warnings[result.pair.name] = result.warnings
            else:
                failed[result.pair.name] = result.error
        taken, seconds = toolkit.taken, toolkit.seconds

    failures = command_line.skipped(failed, items=len(plan.pairs))
    for name, sentences in warnings.items():
        command_line.say(f"warning: {name}: {' '.join(sentences)}")
    made = [name for name in plan.names if name not in failed]
    outputs = [path for name in made for path in pair_files(folder, name, args.num_images)[1:-1]]
    facts = {"models": {"tryon": options.tryon, **asdict(options.sources)}, "taken": taken, "outputs": outputs}
    facts["warnings"] = warnings
    write_run_record(folder, vars(args), started, **facts, stages=seconds, failures=failures)
    for path in outputs:
        print(path)
    return 1 if failures else 0


def read_plan(args: argparse.Namespace) -> PairPlan:
    """Persons, garments and pairs.

    Raises:
        ArgumentError: Persons or garments are missing, or a flag beside --pairs names no folder.
    """
    kind = "garment" if args.garment_from is None else "garment_from"
    garments = args.garment_image if args.garment_from is None else args.garment_from
    if args.pairs is not None:
        for name, given in (("person_image", args.person_image), (kind, garments)):
            if given is not None and (len(given) > 1 or not given[0].is_dir()):
                raise ArgumentError(f"With {{pairs}}, {{{name}}} is one folder of pictures.", "pairs", name)
        return PairPlan.read(args.pairs, *(given and given[0] for given in (args.person_image, garments)))
    if args.person_image is None or garments is None:
        raise ArgumentError(
            "Give {person_image} and {garment} or {garment_from}, or {pairs}.",
            *("person_image", "garment", "garment_from", "pairs"),
        )
    return PairPlan.every(find_pictures(args.person_image), find_pictures(garments))


def check(args: argparse.Namespace, plan: PairPlan, options: TryOnOptions) -> None:
    """Raises errors of the flags, of the only person, of the only garment or of the models, before any is loaded."""
    from temu_vtoff.stages.checking import check_sources  # takes 0.2 s, which --help does not have

    for photos in (plan.persons, plan.garments):
        if len(photos) == 1:
            open_picture(photos[0])
    for name in ("mask", "keypoints", "pose_image"):
        if getattr(args, name) is not None and len(plan.persons) > 1:
            raise ArgumentError(f"{{{name}}} is for one person: give a single {{person_image}}.", name, "person_image")
    if args.lora and options.backend == TEMU_VTOFF and args.garment_from is None:
        raise ArgumentError(
            "{lora} is for the model that takes garments off: give {garment_from}, or another {backend}.",
            *("lora", "garment_from", "backend"),
        )
    segmenter = args.mask is None or (args.garment_from is None and not args.any_garment)
    check_sources(options, segmenter=segmenter, captioner=False)
    if args.garment_from is not None:
        check_sources(options.of_tryoff())


def find_results(
    args: argparse.Namespace, plan: PairPlan, options: TryOnOptions, folder: Path
) -> tuple[FinishedResults, dict[str, str]]:
    """The folder's results, and by name what each pair is made of."""
    chosen = {name: getattr(args, name) for name in ("category", "num_images", "seed", "no_paste")}
    settings = settings_of(options, **chosen, taken_off=args.garment_from is not None)
    results = FinishedResults(folder, "try_on", settings)
    beside = (args.mask, args.keypoints, args.pose_image)
    pairs = zip(plan.names, plan.pairs, strict=True)
    return results, {name: results.made_of(name, plan.persons[i], plan.garments[j], *beside) for name, (i, j) in pairs}


def prepare(
    args: argparse.Namespace,
    toolkit: "TryOn",
    plan: PairPlan,
    left: "list[tuple[str, tuple[int, int]]]",
    joints: "Joints | None",
) -> "list[Pair]":
    """The pairs that are left, with their regions, and with garments that were looked at or taken off.

    Raises:
        ValueError: The only person or the only garment can't be used.
    """
    from temu_vtoff.stages.fitting_room import Pair

    some = plan.needed(left, toolkit.options.batch_size)
    photos = [plan.garments[place] for place in some[1]]
    persons = toolkit.prepare(
        [plan.persons[place] for place in some[0]], args.category, mask=args.mask, joints=joints, pose=args.pose_image
    )
    if len(plan.persons) == 1 and persons[0].error is not None:
        raise persons[0].error
    if args.garment_from is not None:
        garments = toolkit.take_off(photos, args.category, args.seed)
        for photo, product in zip(photos, garments, strict=True):
            if product.error is not None:  # which would be said of the pair
                product.garment.error = command_line.naming(photo, product.error)
                if len(plan.garments) == 1:
                    raise product.error
    else:
        garments = photos if args.any_garment else toolkit.check_garments(photos)
        if len(plan.garments) == 1 and not args.any_garment and garments[0].error is not None:
            raise garments[0].error
    person_at, garment_at = (dict(zip(*both, strict=True)) for both in zip(some, (persons, garments), strict=True))
    return [Pair(person_at[i], garment_at[j], name) for name, (i, j) in left]


if __name__ == "__main__":
    command_line.run(main, parse_args())

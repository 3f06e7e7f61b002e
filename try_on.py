"""Person and garment in, the person wearing the garment out (FitDiT); or the garment of another person's photo.

    python try_on.py --person_image person.jpg --garment_image garment.jpg --tryon_model BoyuanJiang/FitDiT
    python try_on.py --person_image person.jpg --garment_from other.jpg --tryon_model BoyuanJiang/FitDiT

Writes for every person and garment <person>_<garment>_output.png, _region.png (what was repainted) and _panel.png, and
one run.json. There is no built-in try-on model.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
from temu_vtoff.builtin import NOTICE
from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import writable_folder
from temu_vtoff.pictures import find_pictures, open_picture, save_picture
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.categories import DATASET_CATEGORIES
from temu_vtoff.stages.tryon_options import TryOnOptions
from temu_vtoff.tryon.joints import read_joints

if TYPE_CHECKING:
    from temu_vtoff.stages.fitting_room import TryOnResult


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    group = parser.add_argument_group("what")
    add = group.add_argument
    add("--person_image", nargs="+", type=Path, required=True, help="photos of persons, or folders of them")
    garment = group.add_mutually_exclusive_group(required=True)
    garment.add_argument("--garment_image", nargs="+", type=Path, help="product pictures, or folders of them")
    garment.add_argument(
        "--garment_from", nargs="+", type=Path, help="photos of persons whose garment is taken off first"
    )
    add("--output_dir", default="outputs", help="folder of the results")
    add("--category", default="upper_body", choices=DATASET_CATEGORIES, help="garment category")
    add("--num_images", type=command_line.positive, default=1, help="images per pair, seeds SEED, SEED + 1, …")
    add("--seed", type=int, default=0, help="random seed")
    add = parser.add_argument_group("persons").add_argument
    add("--mask", type=Path, help="region to repaint, white, instead of segmenting; for one person")
    add("--keypoints", type=Path, help="joints: JSON of DressCode, VITON-HD or OpenPose; for one person")
    add(
        "--pose_model",
        default=TryOnOptions.pose_model,
        metavar="FOLDER",
        help="two ONNX files by which rtmlib estimates joints without --keypoints; auto: downloads them; none: no pose",
    )
    add("--pose_image", type=Path, help="pose picture instead of one drawn from --keypoints; for one person")
    command_line.add_tryon_flags(parser)
    command_line.add_sampling_flags(parser, tryon=True)
    command_line.add_model_flags(parser, tryon=True)
    command_line.add_backend_flags(parser)
    command_line.add_device_flags(parser)
    command_line.add_speed_flags(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    started = time.time()
    persons = find_pictures(args.person_image)
    garments = find_pictures(args.garment_from if args.garment_image is None else args.garment_image)
    options = command_line.options(args, TryOnOptions)
    check(args, persons, garments, options)
    joints = None if args.keypoints is None else read_joints(args.keypoints)
    folder = writable_folder(args.output_dir)
    if args.garment_from is not None and options.sources.is_builtin:
        command_line.say(NOTICE)

    from temu_vtoff.stages.tryon import TryOn  # only now torch, which takes a second

    toolkit = TryOn(options, progress=command_line.progress)
    command_line.quiet_libraries()
    prepared = toolkit.prepare(persons, args.category, mask=args.mask, joints=joints, pose=args.pose_image)
    if len(prepared) == 1 and prepared[0].error is not None:
        raise prepared[0].error
    if args.garment_from is not None:
        garments = toolkit.take_off(garments, args.category, args.seed)
    outputs, failed = [], {}
    sampling = {"seed": args.seed, "num_images": args.num_images, "paste": not args.no_paste}
    for result in toolkit.generate(prepared, garments, **sampling):
        if result.error is None:
            outputs += write_result(folder, result)
        else:
            failed[result.pair.name] = result.error

    failures = report(failed, pairs=len(prepared) * len(garments))
    facts = {"models": {"tryon": options.tryon, **asdict(options.sources)}, "taken": toolkit.taken, "outputs": outputs}
    write_run_record(folder, vars(args), started, **facts, stages=toolkit.seconds, failures=failures)
    for path in outputs:
        print(path)
    return 1 if failures else 0


def check(args: argparse.Namespace, persons: list[Path], garments: list[Path], options: TryOnOptions) -> None:
    """What is wrong with the flags, the only person or the only garment is told before anything is loaded."""
    for photos in (persons, garments):
        if len(photos) == 1:
            open_picture(photos[0])
    for name in ("mask", "keypoints", "pose_image"):
        if getattr(args, name) is not None and len(persons) > 1:
            raise ArgumentError(f"{{{name}}} is for one person: give a single {{person_image}}.", name, "person_image")
    options.size()


def write_result(folder: Path, result: "TryOnResult") -> list[Path]:
    """Writes a pair's pictures, region and panel; the paths of the pictures."""
    name, paths = result.pair.name, []
    save_picture(result.region, folder / f"{name}_region.png")
    for number, image in enumerate(result.images, 1):
        ending = "output.png" if number == 1 else f"output_{number}.png"
        paths.append(save_picture(image, folder / f"{name}_{ending}"))
    save_picture(result.panel(), folder / f"{name}_panel.png")
    return paths


def report(failed: dict[str, Exception], pairs: int) -> dict[str, str]:
    """What went wrong, by pair. The only pair's error ends the run."""
    if failed and pairs == 1:
        raise command_line.naming(*failed.popitem())
    failures = {name: command_line.reason(error) for name, error in failed.items()}
    for name, reason in failures.items():
        command_line.say(f"skipped {name}: {reason}")
    return failures


if __name__ == "__main__":
    arguments = parse_args()
    command_line.run(main, arguments)

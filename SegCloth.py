"""Masks of garments in photos of dressed people.

    python SegCloth.py --image_path photo.jpg --category upper_body --output_dir outputs
    python SegCloth.py --img_dir photos --category dresses --output_dir masks
    python SegCloth.py --img_dir DATA/test/image --label_maps vitonhd --output_dir DATA/test/image-parse-v3
    accelerate launch --num_processes 8 SegCloth.py --dataset_name vitonhd --dataset_root DATA --output_dir masks

    from SegCloth import segment_clothing
    binary_mask, fine_mask = segment_clothing("photo.jpg", category="upper_body")

Writes <stem>_binary_mask.png, white on the garment, and <stem>_fine_mask.png, the photo with the garment greyed out,
both at the size of the upright photo; with --label_maps, one label map under the name that the dataset has for it. The
files of a folder keep its subfolders; a stopped run resumes. For a dataset, it writes only binary masks, to be used
with inference_dataset.py --mask_dir.
"""

import argparse
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
import command_line.dataset
import temu_vtoff
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.datasets import DATASETS, PHASES
from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import writable_folder
from temu_vtoff.hub.sources import PUBLISHED_SEGMENTER
from temu_vtoff.lazy import lazy_names
from temu_vtoff.pictures import save_picture
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.runs.settings import keep_settings
from temu_vtoff.segmentation.categories import CATEGORIES, DATASET_CATEGORIES
from temu_vtoff.segmentation.layouts import LAYOUTS, check_place
from temu_vtoff.segmentation.masks import MASK_ENDINGS

if TYPE_CHECKING:
    from temu_vtoff.runs.sharing import Share

DRAWN_ONLY = f"The built-in segmenter knows drawn people only; for photographs use the model {PUBLISHED_SEGMENTER}."

# Names of the library that can be imported from here.
_HOMES = {
    "BatchReport": "segmentation.folders",
    "GarmentNotFoundError": "segmentation.masks",
    "batch_segment_clothing": "segmentation.folders",
    "segment_clothing": "segmentation.clothing",
}
__getattr__, __dir__ = lazy_names("temu_vtoff", _HOMES)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    group = parser.add_argument_group("photos")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--image_path", type=Path, help="a photo")
    source.add_argument("--img_dir", type=Path, help="a folder of photos, with its subfolders")
    source.add_argument("--dataset_name", choices=DATASETS, help="layout of a dataset")
    add = group.add_argument
    add("--dataset_root", type=Path, help="folder of the dataset; nothing is written there")
    add("--phase", default="all", choices=(*PHASES, "all"), help="split of the dataset")
    add = parser.add_argument_group("masks").add_argument
    add("--category", choices=(*CATEGORIES, "all"), help="garment (default: upper_body; for a dataset all)")
    add("--clothes", nargs="+", metavar="LABEL", help="the model's labels that make up the garment, not the category's")
    command_line.add_person_flag(add)
    add("--label_maps", choices=LAYOUTS, help="write label maps in the ids of a dataset instead of masks")
    add("--output_dir", "--out_dir", type=Path, default=Path("outputs"), help="folder of the masks")
    add("--overwrite", action="store_true", help="for a folder: make finished masks again")
    add = parser.add_argument_group("how").add_argument
    add(
        "--segmentation_model",
        "--model",
        dest="model",
        default=PUBLISHED_SEGMENTER,
        help='SegFormer by hub id or folder, or "builtin"',
    )
    add("--device", help="cpu, cuda, cuda:1 or mps; default: the best available")
    add("--batch_size", type=command_line.positive, default=8, help="photos that go through the model together")
    reading = "threads (for a dataset: processes) that read photos"
    add("--num_workers", type=command_line.positive, default=4, help=reading)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    started = time.time()
    command_line.quiet_libraries("transformers")
    if args.dataset_name is not None and (args.dataset_root is None or args.clothes or args.overwrite):
        raise ArgumentError(
            "A dataset needs {dataset_root}, and takes no {clothes} and no {overwrite}.",
            *("dataset_root", "clothes", "overwrite"),
        )
    if args.dataset_name is not None:
        for name in [name for name in ("person", "label_maps") if getattr(args, name) is not None]:
            raise ArgumentError(f"{{{name}}} is for {{image_path}} and {{img_dir}}.", name, "image_path", "img_dir")
        if args.category not in (None, "all", *DATASET_CATEGORIES):
            offered = ", ".join(DATASET_CATEGORIES)
            raise ArgumentError(f"{{category}} is {args.category!r}; the datasets have {offered}.", "category")
    elif args.category == "all":
        raise ArgumentError("{category} all is for datasets: name the garment.", "category")
    if args.label_maps is not None and (args.category is not None or args.clothes):
        raise ArgumentError(
            "{label_maps} writes all labels: leave out {category} and {clothes}.", "label_maps", "category", "clothes"
        )
    if args.label_maps is not None and args.image_path is not None:
        check_place(args.label_maps, args.output_dir, args.image_path)
    out_dir = writable_folder(args.output_dir)
    if args.model == BUILTIN:
        command_line.say(DRAWN_ONLY)
    if args.dataset_name is not None:
        from temu_vtoff.runs.sharing import Share

        with Share.join() as share:
            return segment_dataset(args, share, started)

    category = "upper_body" if args.category is None else args.category
    model = {"model": args.model, "device": args.device, "person": args.person}
    if args.image_path is not None and args.label_maps is not None:
        label_map = temu_vtoff.dataset_label_map(args.image_path, args.label_maps, **model)
        print(save_picture(label_map, out_dir / LAYOUTS[args.label_maps].name(args.image_path.stem)))
        return 0
    what = {"category": category, "clothes": args.clothes, **model}
    if args.image_path is not None:
        for picture, ending in zip(temu_vtoff.segment_clothing(args.image_path, **what), MASK_ENDINGS, strict=True):
            print(save_picture(picture, out_dir / f"{args.image_path.stem}{ending}"))
        return 0

    how = {"batch_size": args.batch_size, "num_workers": args.num_workers, "overwrite": args.overwrite}
    how["label_maps"] = args.label_maps
    report = temu_vtoff.batch_segment_clothing(args.img_dir, out_dir, **what, **how)
    for photo, labels in report.substituted.items():
        command_line.say(f"{photo}: the garment is absent, {labels} taken instead")
    for photo, note in report.crowds.items():
        command_line.say(f"{photo}: {note}")
    failures = {str(photo): command_line.reason(error) for photo, error in report.errors.items()}
    for photo, reason in failures.items():
        command_line.say(f"{photo}: {reason.removeprefix(f'{photo} ')}")
    print(f"{out_dir}: {len(report.written)} made, {len(report.skipped)} made earlier, {len(failures)} failed")
    write_run_record(out_dir, vars(args), started, failures=failures)
    return 1 if failures else 0


def segment_dataset(args: argparse.Namespace, share: "Share", started: float) -> int:
    """Segments a dataset; returns the exit status."""
    from temu_vtoff.datasets.masks import generated_mask_path
    from temu_vtoff.runs.segmenting import GarmentMasks, segment_items

    datasets = command_line.dataset.open_phases(args, load=["person"])
    keep_settings(args.output_dir / "settings.json", {"dataset": args.dataset_name, "model": args.model})
    notes = {}
    stage = partial(
        segment_items,
        load_segmenter=cache(lambda: temu_vtoff.ClothSegmenter.from_pretrained(args.model, share.device(args.device))),
        path_of=partial(generated_mask_path, args.output_dir),
        draw=GarmentMasks(notes),
        num_workers=args.num_workers,
    )
    return command_line.dataset.run_phases(
        args, datasets, stage, share=share, what="segment masks", started=started, notes=notes
    )


if __name__ == "__main__":
    command_line.run(main, parse_args())

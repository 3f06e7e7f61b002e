"""Masks of garments in photos of dressed people.

    python SegCloth.py --image_path photo.jpg --category upper_body --out_dir outputs
    python SegCloth.py --img_dir photos --category dresses --out_dir masks
    accelerate launch --num_processes 8 SegCloth.py --dataset_name vitonhd --dataset_root DATA --out_dir masks

    from SegCloth import segment_clothing
    binary_mask, fine_mask = segment_clothing("photo.jpg", category="upper_body")

Writes <stem>_binary_mask.png, white on the garment, and <stem>_fine_mask.png, the photo with the garment greyed out,
both of the upright photo's size. A folder's subfolders are kept; a run that was stopped goes on where it was. Of a
dataset it writes binary masks alone, where inference_dataset.py --mask_dir finds them.
"""

import argparse
import threading
import time
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

import command_line
import command_line.dataset
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.datasets import DATASETS, PHASES
from temu_vtoff.files import writable_folder
from temu_vtoff.hub.errors import HubUnreachableError
from temu_vtoff.hub.sources import PUBLISHED_SEGMENTER
from temu_vtoff.pictures import open_picture, save_picture
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.folders import MASK_ENDINGS, BatchReport, batch_segment_clothing
from temu_vtoff.segmentation.masks import (
    CATEGORIES,
    GarmentNotFoundError,
    garment_mask,
    label_ids,
    mask_picture,
    masked_image,
)
from temu_vtoff.segmentation.segmenter import ClothSegmenter

if TYPE_CHECKING:
    from temu_vtoff.runs.sharing import Share

__all__ = ["BatchReport", "GarmentNotFoundError", "batch_segment_clothing", "segment_clothing"]

DRAWN_ONLY = f"The built-in segmenter knows drawn people only; for photographs use the model {PUBLISHED_SEGMENTER}."
_loading = threading.Lock()


def segment_clothing(
    img: Image.Image | str | Path,
    category: str = "upper_body",
    clothes: Sequence[str] | None = None,
    model: str | Path = PUBLISHED_SEGMENTER,
    device: str | None = None,
) -> tuple[Image.Image, Image.Image]:
    """The garment's mask, and the photo with the garment greyed out.

    Args:
        img: A photo in any mode, or its path; EXIF rotation is applied first.
        category: "upper_body", "lower_body" or "dresses".
        clothes: Names of labels ("Upper-clothes", "Dress", …) that make up the garment, in place of the category's.
        model: SegFormer by hub id or folder, or "builtin"; it stays loaded. When the hub can't be reached, the
            built-in one serves as long as the process runs, with a warning each time.
        device: "cpu", "cuda", …; left unset, the best there is.

    Returns:
        Of the upright photo's size: L with 0 and 255 (the garment), and RGB with the garment at grey 128.

    Raises:
        GarmentNotFoundError: The garment is not in the photo.
        ValueError: Unknown category, label or device; no picture; a model that can't be loaded.
        FileNotFoundError: No such photo.
    """
    label_ids(category, clothes)  # a mistake shows before the model is loaded
    photo = open_picture(img)
    with _loading:  # two threads that ask at once load it once
        segmenter, trouble = _load(str(model), device)
    if trouble is not None:
        warnings.warn(trouble, stacklevel=2)
    garment = garment_mask(segmenter.label_maps([photo])[0], category, clothes)
    if garment.note is not None:
        warnings.warn(garment.note, stacklevel=2)
    return mask_picture(garment.mask), masked_image(photo, garment.mask)


@lru_cache(maxsize=2)
def _load(model: str, device: str | None) -> tuple[ClothSegmenter, str | None]:
    """The model; or, without the hub, the built-in one and a warning. Both are kept: to ask again takes 20 seconds."""
    from temu_vtoff.hardware.devices import choose_device

    chosen = choose_device(device)
    try:
        return ClothSegmenter.from_pretrained(model, chosen), None
    except HubUnreachableError as error:
        instead = ClothSegmenter.from_pretrained(BUILTIN, chosen)
        return instead, f"{error} THE BUILT-IN SEGMENTER IS USED INSTEAD. {DRAWN_ONLY}"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    group = parser.add_argument_group("photos")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--image_path", type=Path, help="a photo")
    source.add_argument("--img_dir", type=Path, help="a folder of photos, with its subfolders")
    source.add_argument("--dataset_name", choices=DATASETS, help="layout of a dataset")
    add = group.add_argument
    add("--dataset_root", type=Path, help="its folder; nothing is written there")
    add("--phase", default="all", choices=(*PHASES, "all"), help="its split")
    add = parser.add_argument_group("masks").add_argument
    add("--category", choices=(*CATEGORIES, "all"), help="the garment wanted; when absent upper_body, of a dataset all")
    add("--clothes", nargs="+", metavar="LABEL", help="labels that make up the garment, in place of the category's")
    add("--out_dir", type=Path, default=Path("outputs"), help="where the masks are written")
    add("--overwrite", action="store_true", help="of a folder: make finished masks anew")
    add = parser.add_argument_group("how").add_argument
    add("--model", default=PUBLISHED_SEGMENTER, help='SegFormer by hub id or folder, or "builtin"')
    add("--device", help="cpu, cuda, cuda:1 or mps; the best there is when absent")
    add("--batch_size", type=command_line.positive, default=8, help="photos that go through the model together")
    reading = "threads, or of a dataset processes, that decode"
    add("--num_workers", type=command_line.positive, default=4, help=reading)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    started = time.time()
    command_line.quiet_libraries("transformers")
    command_line.dataset.show_warnings()
    if args.dataset_name is not None and (args.dataset_root is None or args.clothes or args.overwrite):
        raise ValueError("A dataset needs --dataset_root, and takes no --clothes and no --overwrite.")
    if args.dataset_name is None and args.category == "all":
        raise ValueError("--category all is for datasets: name the garment wanted.")
    out_dir = writable_folder(args.out_dir)
    if args.model == BUILTIN:
        command_line.say(DRAWN_ONLY)
    if args.dataset_name is not None:
        from temu_vtoff.runs.sharing import Share

        with Share.join() as share:
            failed = segment_dataset(args, share, started)
        return 1 if failed else 0

    category = "upper_body" if args.category is None else args.category
    what = {"category": category, "clothes": args.clothes, "model": args.model, "device": args.device}
    if args.image_path is not None:
        for picture, ending in zip(segment_clothing(args.image_path, **what), MASK_ENDINGS, strict=True):
            print(save_picture(picture, out_dir / f"{args.image_path.stem}{ending}"))
        return 0

    how = {"batch_size": args.batch_size, "num_workers": args.num_workers, "overwrite": args.overwrite}
    report = batch_segment_clothing(args.img_dir, out_dir, **what, **how)
    for photo, labels in report.substituted.items():
        command_line.say(f"{photo}: the garment is absent, {labels} taken instead")
    for photo, reason in report.failed.items():
        command_line.say(f"{photo}: {reason.removeprefix(f'{photo} ')}")
    print(f"{out_dir}: {len(report.written)} made, {len(report.skipped)} made earlier, {len(report.failed)} failed")
    write_run_record(
        out_dir, vars(args), started, failures={str(photo): reason for photo, reason in report.failed.items()}
    )
    return 1 if report.failed else 0


def segment_dataset(args: argparse.Namespace, share: "Share", started: float) -> int:
    """The number of items without mask."""
    from temu_vtoff.runs.segmenting import segment_items
    from temu_vtoff.runs.settings import keep_settings
    from temu_vtoff.runs.sharing import cut_batches

    args.category = "all" if args.category is None else args.category
    datasets = command_line.dataset.open_phases(args, load=["person"])
    keep_settings(args.out_dir / "settings.json", {"dataset": args.dataset_name, "model": args.model})
    segmenter = ClothSegmenter.from_pretrained(args.model, share.device(args.device))
    failures = {}
    for dataset in datasets:
        failures |= segment_items(
            dataset,
            share.of(cut_batches(dataset.items, args.batch_size)),
            segmenter,
            args.out_dir,
            args.num_workers,
            command_line.dataset.progress(share, f"segment {dataset.phase}"),
        )
    return command_line.dataset.finish(share, args.out_dir, args, started, failures, datasets, "masks")


if __name__ == "__main__":
    command_line.run(main, parse_args())

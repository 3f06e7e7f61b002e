"""Product pictures for a split of DressCode or VITON-HD; evaluate.py compares them with the true ones.

    python inference_dataset.py --dataset_name dresscode --dataset_root DATA --output_dir outputs/dresscode --caption
    accelerate launch --num_processes 8 inference_dataset.py --dataset_name vitonhd --dataset_root DATA \\
        --output_dir outputs/vitonhd --coarse_caption_file captions_0_2.json --mixed_precision bf16 \\
        --pretrained_model_name_or_path stabilityai/stable-diffusion-3-medium-diffusers \\
        --pretrained_model_name_or_path_sd3_tryoff davidelobba/TEMU-VTOFF

Writes OUTPUT_DIR/<category>/<garment stem>.png, manifest.csv and run.json. Started again after a kill, it goes on where
it was, and tries again what failed; the pictures depend on the seed, not on processes, order or interruptions.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import command_line
import command_line.dataset
from temu_vtoff.builtin import NOTICE
from temu_vtoff.datasets import MASK_TYPES, ORDERS, open_dataset
from temu_vtoff.files import writable_folder
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.stages.model_choice import Means, ModelChoice

if TYPE_CHECKING:
    from temu_vtoff import TryOffPipeline
    from temu_vtoff.datasets import Item, TryOffDataset
    from temu_vtoff.runs.sharing import Share

TEXT_PARTS = ("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = command_line.dataset.add_dataset_flags(parser).add_argument
    add("--order", default="paired", choices=ORDERS, help="list of pairs; unpaired: captions are of another garment")
    add("--limit", type=command_line.positive, help="only the first so many items of each category")
    add("--output_dir", required=True, type=Path, help="where pictures and manifest go")
    add = parser.add_argument_group("masks and captions").add_argument
    again = {"nargs": "?", "const": "missing", "choices": ("missing", "all")}
    add("--segment", **again, help="make masks with the segmenter: those of items without label map, or all")
    add("--mask_dir", type=Path, help="masks made by SegCloth.py; with --segment where they go, else OUTPUT_DIR/masks")
    add("--mask_type", default="fine", choices=MASK_TYPES, help="the garment's pixels, their box, or a loose outline")
    add("--fine_mask", dest="mask_type", action="store_const", const="fine", help="the same as --mask_type fine")
    add("--coarse_caption_file", type=Path, help="captions, JSON {item id: [caption]}")
    add("--caption", **again, help="have the captioner look at the photos: for items without caption, or all")
    add("--text_features_dir", type=Path, help="what precompute_text_features.py wrote; the rest is encoded")
    add("--image_features_dir", type=Path, help="what precompute_image_features.py wrote; the rest is encoded")
    add = parser.add_argument_group("how").add_argument
    add("--seed", type=int, default=0, help="of all noise; each item's own comes from it and the item's id")
    add("--batch_size", type=command_line.positive, default=4, help="pictures made at once")
    add("--num_workers", type=int, default=2, help="processes that read pictures")
    command_line.add_sampling_flags(parser)
    command_line.add_model_flags(parser)
    command_line.add_device_flags(parser)
    command_line.add_speed_flags(parser)
    return parser.parse_args(argv)


class DatasetTryOff:
    """This process's share of the work, stage after stage; each stage loads its models and lets them go."""

    def __init__(self, args: argparse.Namespace, share: "Share") -> None:
        from temu_vtoff.datasets.captions import read_captions
        from temu_vtoff.datasets.features import ImageFeatures, TextFeatures
        from temu_vtoff.hardware.devices import choose_dtype
        from temu_vtoff.runs.generation import picture_path
        from temu_vtoff.runs.journal import Journal
        from temu_vtoff.runs.sharing import cut_batches, first_of_each_category

        self.args, self.share = args, share
        if args.coarse_caption_file is None and args.caption is None and args.text_features_dir is None:
            raise ValueError("Give --coarse_caption_file, or --caption to have captions made.")
        dataset = self.open(load=())
        dataset.require_unique_ids()
        self.captions = {} if args.coarse_caption_file is None else read_captions(args.coarse_caption_file)
        self.text = None if args.text_features_dir is None else TextFeatures(args.text_features_dir)
        self.image = None if args.image_features_dir is None else ImageFeatures(args.image_features_dir)
        self.models = ModelChoice.from_flags(vars(args))
        self.means = Means.from_flags(vars(args), pictures=len(dataset.items))
        self.width, self.height = self.models.working_size().choose(args.width, args.height)
        self.device = share.device(args.device)
        self.dtype = choose_dtype(args.mixed_precision, self.device)
        self.output_dir = writable_folder(args.output_dir)
        self.mask_dir = self.output_dir / "masks" if args.mask_dir is None and args.segment else args.mask_dir
        self.keep_settings()

        self.items = first_of_each_category(dataset.items, args.limit)
        batches = share.of(cut_batches(self.items, args.batch_size))
        self.batches = [b for b in batches if any(not picture_path(self.output_dir, item).exists() for item in b)]
        folder = self.output_dir / "journal"
        self.made_captions = Journal(folder, "captions", share.index)
        self.journal = Journal(folder, "manifest", share.index)
        self.failures: dict[Item, str] = {}

    def segment(self) -> None:
        """Makes the masks that are asked for and missing."""
        from temu_vtoff.datasets.masks import generated_mask_path
        from temu_vtoff.runs.segmenting import segment_items
        from temu_vtoff.segmentation.segmenter import ClothSegmenter

        every = self.args.segment == "all"
        batches = self.select(lambda item: self.args.segment and (every or not item.label_map.exists()))
        if any(not generated_mask_path(self.mask_dir, item).exists() for batch in batches for item in batch):
            segmenter = ClothSegmenter.from_pretrained(self.models.segmenter, self.device)
            self.failures |= segment_items(
                self.open(load=["person"]), batches, segmenter, self.mask_dir, **self.reading("segment")
            )

    def caption(self) -> None:
        """Makes the captions that are asked for and missing."""
        from temu_vtoff.captioning.qwen import Captioner
        from temu_vtoff.runs.captioning import caption_items, journal_captions

        def wanted(item: "Item") -> bool:
            return self.args.caption == "all" or not (item.id in self.captions or self.has_features(item))

        batches = self.select(wanted) if self.args.caption else []
        made = journal_captions(self.made_captions)
        if any(item.id not in made for batch in batches for item in batch):
            captioner = Captioner.from_pretrained(self.models.captioner, self.device)
            self.failures |= caption_items(
                self.open(load=["person"]),
                batches,
                captioner,
                self.made_captions,
                seed=self.args.seed,
                **self.reading("caption"),
            )
            made = journal_captions(self.made_captions)
        self.captions |= made
        for item in (item for batch in self.select() for item in batch):
            if item.id not in self.captions and not self.has_features(item):
                self.failures[item] = f"no caption in {self.args.coarse_caption_file}; --caption makes one"

    def try_off(self) -> None:
        """Makes the pictures that are missing."""
        from temu_vtoff.runs.generation import Conditions, generate_items

        args, batches = self.args, self.select()
        if batches:
            dataset = self.open(
                load=["person", "mask"],
                mask_dir=self.mask_dir,
                mask_type=args.mask_type,
                width=self.width,
                height=self.height,
                resize_mode=args.resize_mode,
            )
            dataset.captions = self.captions  # opened with them it would list all without, whether they need one or not
            self.failures |= generate_items(
                dataset,
                batches,
                Conditions(self.load_pipeline(batches), self.text, self.image),
                self.output_dir,
                self.journal,
                args.seed,
                **self.reading("try off"),
                width=self.width,
                height=self.height,
                num_inference_steps=args.num_inference_steps,
                guidance_scale=args.guidance_scale,
                preset=args.preset,
            )
        for item, reason in self.failures.items():
            self.journal.append(item.key, status="failed", reason=reason)

    def finish(self) -> int:
        """Waits for the other processes; the first then tells what all of them did. The number of failed items."""
        from temu_vtoff.files import remove_leftovers
        from temu_vtoff.runs.captioning import journal_captions, write_captions
        from temu_vtoff.runs.generation import write_manifest

        failed = command_line.dataset.gather_failures(self.share, self.failures, "The whole list: manifest.csv.")
        if self.share.is_first:
            remove_leftovers(self.output_dir)
            if made := journal_captions(self.made_captions):
                write_captions(self.output_dir / "captions.json", made)
            undone = write_manifest(self.output_dir / "manifest.csv", self.items, self.journal, self.args.seed)
            print(f"{self.output_dir}: {len(self.items) - len(undone)} of {len(self.items)} pictures")
        return failed

    def open(self, **options: Any) -> "TryOffDataset":
        args = self.args
        chosen = {"phase": args.phase, "order": args.order, "category": args.category}
        return open_dataset(args.dataset_name, args.dataset_root, **chosen, **options)

    def select(self, wanted: "Callable[[Item], bool]" = lambda _: True) -> "list[list[Item]]":
        """The batches without unwanted items and those that failed: the same ones in every run."""
        chosen = [[i for i in batch if i not in self.failures and wanted(i)] for batch in self.batches]
        return [batch for batch in chosen if batch]

    def has_features(self, item: "Item") -> bool:
        return self.text is not None and self.text.has(item)

    def reading(self, what: str) -> dict[str, Any]:
        """How a stage goes through its batches: with a progress bar in the first process."""
        progress = command_line.dataset.progress(self.share, what)
        return {"num_workers": self.args.num_workers, "progress": progress}

    def load_pipeline(self, batches: "list[list[Item]]") -> "TryOffPipeline":
        """The pipeline, without the text encoders when nothing is left for them."""
        from temu_vtoff.hardware.devices import free_memory

        free_memory()
        encoded = all(self.has_features(item) for batch in batches for item in batch) and self.text.has_empty_prompt()
        unneeded = dict.fromkeys(TEXT_PARTS) if encoded else {}
        if self.means.compile and self.share.is_first:
            command_line.say("Compiling for speed: the first pictures take up to some minutes longer.")
        pipe = self.models.load_pipeline(self.device, self.dtype, self.args.offload, self.means, **unneeded)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def keep_settings(self) -> None:
        """Stops a run whose pictures would not go with those already there."""
        from temu_vtoff.runs.settings import keep_settings

        of_results = ("dataset_name", "phase", "order", "segment", "mask_type", "caption", "seed")
        of_results += ("resize_mode", "guidance_scale", "num_inference_steps", "preset")
        settings = {name: getattr(self.args, name) for name in of_results}
        settings |= {"width": self.width, "height": self.height, "dtype": str(self.dtype)}
        settings |= {name: getattr(self.models, name) for name in ("base", "tryoff", "segmenter", "captioner")}
        settings |= asdict(self.means)
        for name in ("coarse_caption_file", "mask_dir", "text_features_dir", "image_features_dir"):
            path = getattr(self.args, name)
            settings[name] = None if path is None else path.name
        keep_settings(self.output_dir / "settings.json", settings)


def main(args: argparse.Namespace) -> int:
    from temu_vtoff.runs.sharing import Share

    started = time.time()
    command_line.quiet_libraries()
    command_line.dataset.show_warnings()
    with Share.join() as share:
        work = DatasetTryOff(args, share)
        if work.models.is_builtin and share.is_first:
            command_line.say(NOTICE)
        work.segment()
        work.caption()
        work.try_off()
        failed = work.finish()
        if share.is_first:
            models = {"base": work.models.base, "tryoff": work.models.tryoff}
            write_run_record(work.output_dir, vars(args), started, models=models, processes=share.count, failed=failed)
    return 1 if failed else 0


if __name__ == "__main__":
    arguments = parse_args()
    command_line.run(main, arguments)

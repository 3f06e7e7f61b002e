"""Photo in, product picture out: segment the garment, caption it, try it off.

    python inference.py --example_image examples/example1.jpg --category upper_body
    python inference.py --example_image photos/ --category all --output_dir outputs \\
        --pretrained_model_name_or_path stabilityai/stable-diffusion-3-medium-diffusers \\
        --pretrained_model_name_or_path_sd3_tryoff davidelobba/TEMU-VTOFF

Writes per photo <stem>_output.png, _binary_mask.png, _fine_mask.png, _caption.txt and _panel.png (with several garments
or pictures, their names tell which), and one run.json.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import command_line
from temu_vtoff.builtin import NOTICE
from temu_vtoff.files import writable_folder, write_text
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.segmentation.masks import CATEGORIES
from temu_vtoff.stages.model_choice import Means, ModelChoice

if TYPE_CHECKING:
    from PIL import Image

EXAMPLE = Path(__file__).parent / "examples" / "example1.jpg"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument_group("what").add_argument
    add("--example_image", nargs="+", type=Path, default=[EXAMPLE], help="photos, or folders of them")
    add("--output_dir", default="outputs", help="where results are written")
    add("--category", default="upper_body", choices=(*CATEGORIES, "all"), help="garment wanted; all: every one found")
    add("--mask", type=Path, help="mask of the garment, white on it, instead of segmenting; for one photo and category")
    add("--caption", help="caption of the garment, instead of having it written; for one category")
    add("--num_images", type=command_line.positive, default=1, help="pictures a garment, by seeds SEED, SEED + 1, …")
    add("--seed", type=int, default=0, help="of each garment's noise")
    command_line.add_sampling_flags(parser)
    command_line.add_model_flags(parser)
    command_line.add_device_flags(parser)
    command_line.add_speed_flags(parser)
    return parser.parse_args(argv)


@dataclass
class Garment:
    """One garment to make pictures of, and where its files go."""

    photo: Path
    category: str
    stem: Path  # what its files' paths begin with
    caption: str = ""

    def file(self, ending: str) -> Path:
        return self.stem.with_name(f"{self.stem.name}_{ending}")


class TryOff:
    """The three stages over some photos. Each stage loads its models, serves every photo and lets the models go."""

    def __init__(self, args: argparse.Namespace) -> None:
        from temu_vtoff.pictures import find_pictures, open_picture

        self.args = args
        self.photos = find_pictures(args.example_image)
        if len(self.photos) == 1:
            open_picture(self.photos[0])  # what is wrong with the only one is told before anything is loaded
        if args.mask is not None and (len(self.photos) > 1 or args.category == "all"):
            raise ValueError("--mask is for one photo and one category: give a single --example_image and --category.")
        if args.caption is not None and args.category == "all":
            raise ValueError("--caption is for one category: give --category.")
        self.models = ModelChoice.from_flags(vars(args))
        self.width, self.height = self.models.working_size().choose(args.width, args.height)
        self.output_dir = writable_folder(args.output_dir)

        from temu_vtoff.hardware.devices import choose_device, choose_dtype  # only now torch, which takes a second

        self.device = choose_device(args.device)
        self.dtype = choose_dtype(args.mixed_precision, self.device)
        self.failures: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def run(self) -> list[Path]:
        """Segments, captions and tries off; the pictures made."""
        with self.stage("segment"):
            garments = self.segment()
        with self.stage("caption"):
            self.caption(garments)
        with self.stage("try off"):
            return self.try_off(garments)

    def segment(self) -> list[Garment]:
        from PIL import Image

        from temu_vtoff.pictures import open_mask, open_picture, save_picture, unique_stems
        from temu_vtoff.segmentation.masks import garment_mask, garments_present, mask_picture, masked_image
        from temu_vtoff.segmentation.segmenter import ClothSegmenter

        command_line.quiet_libraries("transformers")
        args, garments = self.args, []
        if args.mask is None:
            segmenter = ClothSegmenter.from_pretrained(self.models.segmenter, device=self.device)
        stems = dict(zip(self.photos, unique_stems(self.photos), strict=True))
        for photo in command_line.progress(self.photos, "segment"):
            with self.surviving(photo):
                picture = self.fitted(photo)
                if args.mask is not None:
                    mask = self.fit(
                        open_mask(args.mask, open_picture(photo)), fill=0, resample=Image.Resampling.NEAREST
                    )
                    masks = {args.category: np.asarray(mask) > 0}
                else:
                    label_map = segmenter.label_maps([picture])[0]
                    found = garments_present(label_map) or CATEGORIES  # of none, garment_mask tells what is there
                    wanted = found if args.category == "all" else [args.category]
                    masks = {}
                    for category in wanted:
                        cut = garment_mask(label_map, category)
                        masks[category] = cut.mask
                        if cut.note is not None:
                            command_line.say(f"{photo}: {cut.note}")
                for category, mask in masks.items():
                    name = f"{stems[photo]}_{category}" if args.category == "all" else stems[photo]
                    garment = Garment(photo, category, self.output_dir / name)
                    save_picture(mask_picture(mask), garment.file("binary_mask.png"))
                    save_picture(masked_image(picture, mask), garment.file("fine_mask.png"))
                    garments.append(garment)
        return garments

    def caption(self, garments: list[Garment]) -> None:
        if self.args.caption is None and garments:
            from temu_vtoff.captioning.qwen import Captioner

            captioner = Captioner.from_pretrained(self.models.captioner, device=self.device)
        for garment in command_line.progress(garments, "caption"):
            if self.args.caption is not None:
                garment.caption = self.args.caption
            else:
                garment.caption = captioner([self.fitted(garment.photo)], garment.category)[0]
            write_text(garment.file("caption.txt"), garment.caption + "\n")

    def try_off(self, garments: list[Garment]) -> list[Path]:
        import torch
        from PIL import Image

        from temu_vtoff.pictures import panel, save_picture

        command_line.quiet_libraries("diffusers")
        if garments:
            means = Means.from_flags(vars(self.args), pictures=len(garments) * self.args.num_images)
            if means.compile:
                command_line.say(command_line.WARM_UP)
            pipe = self.models.load_pipeline(self.device, self.dtype, self.args.offload, means)
            pipe.set_progress_bar_config(desc="denoise", leave=False)
        made = []
        for garment in command_line.progress(garments, "try off"):
            with self.surviving(garment.photo):
                photo, mask = self.fitted(garment.photo), Image.open(garment.file("binary_mask.png"))
                masked = Image.open(garment.file("fine_mask.png"))
                products = pipe(
                    photo,
                    mask=mask,
                    masked_image=masked,
                    prompt=garment.caption,
                    width=self.width,
                    height=self.height,
                    num_inference_steps=self.args.num_inference_steps,
                    guidance_scale=self.args.guidance_scale,
                    num_images_per_prompt=self.args.num_images,
                    preset=self.args.preset,
                    generator=[torch.Generator().manual_seed(self.args.seed + i) for i in range(self.args.num_images)],
                ).images
                for i, product in enumerate(products):
                    path = garment.file("output.png" if i == 0 else f"output_{i + 1}.png")
                    made.append(save_picture(product, path))
                sheet = panel([photo, mask, masked, *products], garment.caption)
                save_picture(sheet, garment.file("panel.png"))
        return made

    def fitted(self, photo: Path) -> "Image.Image":
        from temu_vtoff.pictures import open_picture

        return self.fit(open_picture(photo))

    def fit(self, picture: "Image.Image", **options: Any) -> "Image.Image":
        from temu_vtoff.pictures import fit_picture

        return fit_picture(picture, self.width, self.height, self.args.resize_mode, **options)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        from temu_vtoff.hardware.devices import free_memory

        started = time.time()
        yield
        self.seconds[name] = round(time.time() - started, 2)
        free_memory()

    @contextmanager
    def surviving(self, photo: Path) -> Iterator[None]:
        """Among several photos, one that can't be served is noted and left out; the only one ends the run."""
        from temu_vtoff.hub.errors import CheckpointError

        try:
            yield
        except (ValueError, FileNotFoundError) as error:
            if len(self.photos) == 1 or isinstance(error, CheckpointError):
                raise
            self.failures[str(photo)] = command_line.explain(error)
            command_line.say(f"skipped {photo}: {self.failures[str(photo)]}")


def main(args: argparse.Namespace) -> int:
    started = time.time()
    work = TryOff(args)
    if work.models.is_builtin:
        command_line.say(NOTICE)
    made = work.run()
    facts = {"models": asdict(work.models), "outputs": made, "stages": work.seconds, "failures": work.failures}
    write_run_record(work.output_dir, vars(args), started, **facts)
    for path in made:
        print(path)
    return 1 if work.failures else 0


if __name__ == "__main__":
    arguments = parse_args()
    command_line.run(main, arguments)

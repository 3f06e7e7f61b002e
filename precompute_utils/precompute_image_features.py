"""Embeddings of a dataset's photos by both CLIP vision encoders, once for all runs and trainings.

    python precompute_utils/precompute_image_features.py --dataset_name dresscode --dataset_root DATA \\
        --output_dir features/photos --pretrained_model_name_or_path_sd3_tryoff davidelobba/TEMU-VTOFF

Writes OUTPUT_DIR/CLIP_VIT_L_VIT_G_concat_pooled/<category, or phase for VITON-HD>/<photo's stem>.pt, (2048), CLIP-L
first, as the pipeline feeds them to the feature extractor. Resumes; runs under accelerate launch.
"""

import argparse
import time

import command_line
import command_line.dataset
from temu_vtoff.files import writable_folder
from temu_vtoff.pictures import RESIZE_MODES
from temu_vtoff.stages.model_choice import ModelChoice


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    _, how = command_line.dataset.add_feature_flags(parser, "photos", image_encoders=True)
    add = how.add_argument
    add("--width", type=int, help="of the photos as the pipeline gets them; when absent the model's own")
    add("--height", type=int, help="likewise")
    add("--resize_mode", default="pad", choices=RESIZE_MODES, help="for photos of another aspect ratio")
    add("--num_workers", type=int, default=2, help="processes that read pictures")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    started = time.time()
    command_line.quiet_libraries()
    from temu_vtoff.datasets.features import DTYPES, ImageFeatures
    from temu_vtoff.hardware.devices import choose_dtype
    from temu_vtoff.runs.encoding import ImageEncoder, encode_image_items
    from temu_vtoff.runs.settings import keep_settings
    from temu_vtoff.runs.sharing import Share, cut_batches

    models = ModelChoice.from_flags(vars(args))
    width, height = models.working_size().choose(args.width, args.height)
    size = {"width": width, "height": height, "resize_mode": args.resize_mode}
    datasets = command_line.dataset.open_phases(args, load=["person"], **size)
    output_dir = writable_folder(args.output_dir)
    with Share.join() as share:
        device = share.device(args.device)
        dtype = choose_dtype(args.mixed_precision, device)
        settings = {"base": models.base, "tryoff": models.tryoff, **models.image_encoders, **size}
        keep_settings(output_dir / "settings.json", settings | {"encoded in": str(dtype), "dtype": args.dtype})
        encoder = ImageEncoder.load(models, device, dtype)
        failures = {}
        for dataset in datasets:
            failures |= encode_image_items(
                dataset,
                share.of(cut_batches(dataset.items, args.batch_size)),
                encoder,
                ImageFeatures(output_dir),
                DTYPES[args.dtype],
                args.num_workers,
                command_line.dataset.progress(share, f"encode {dataset.phase}"),
            )
        what = "photos encoded"
        failed = command_line.dataset.finish(share, output_dir, args, started, failures, datasets, what)
    return 1 if failed else 0


if __name__ == "__main__":
    command_line.run(main, parse_args())

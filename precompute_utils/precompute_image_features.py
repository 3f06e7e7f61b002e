"""Embeddings of a dataset's photos by both CLIP vision encoders, once for all runs and trainings.

    python precompute_utils/precompute_image_features.py --dataset_name dresscode --dataset_root DATA \\
        --output_dir features/photos --pretrained_model_name_or_path_sd3_tryoff davidelobba/TEMU-VTOFF

Writes OUTPUT_DIR/CLIP_VIT_L_VIT_G_concat_pooled/<category, or phase for VITON-HD>/<photo's stem>.pt, (2048), CLIP-L
first, as the pipeline feeds them to the feature extractor. Resumes; runs under accelerate launch.
"""

import argparse
import time
from functools import cache, partial

import command_line
import command_line.dataset
from temu_vtoff.files import writable_folder
from temu_vtoff.pictures.fitting import RESIZE_MODES
from temu_vtoff.runs.settings import keep_settings
from temu_vtoff.stages.options import Options


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    _, group = command_line.dataset.add_feature_flags(parser, "photos", image_encoders=True)
    group.add_argument("--width", type=int, help="width of the photos in pixels; default: the model's own")
    group.add_argument("--height", type=int, help="height of the photos in pixels; default: the model's own")
    group.add_argument(
        "--resize_mode",
        default=Options.resize_mode,
        choices=RESIZE_MODES,
        help="how photos of another aspect ratio are fitted",
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    started = time.time()
    command_line.quiet_libraries()
    options = command_line.options(args)

    from temu_vtoff.datasets.features import DTYPES, ImageFeatures
    from temu_vtoff.runs.encoders import ImageEncoder
    from temu_vtoff.runs.encoding import encode_image_items, encoding_settings
    from temu_vtoff.runs.sharing import Share

    width, height = options.size()
    size = {"width": width, "height": height, "resize_mode": options.resize_mode}
    datasets = command_line.dataset.open_phases(args, load=["person"], **size)
    output_dir = writable_folder(args.output_dir)
    with Share.join() as share:
        own = share.options(options)
        sources = {"base": options.sources.base, "tryoff": options.sources.tryoff, **options.image_encoders}
        keep_settings(output_dir / "settings.json", encoding_settings(own, args.dtype, **sources) | size)
        stage = partial(
            encode_image_items,
            load_encoder=cache(partial(ImageEncoder.load, own)),
            store=ImageFeatures(output_dir),
            dtype=DTYPES[args.dtype],
            num_workers=args.num_workers,
        )
        return command_line.dataset.run_phases(
            args, datasets, stage, share=share, what="encode photos", started=started
        )


if __name__ == "__main__":
    command_line.run(main, parse_args())

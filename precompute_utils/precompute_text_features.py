"""Embeddings of a dataset's captions by SD3's text encoders, once for all runs and trainings.

    python precompute_utils/precompute_text_features.py --dataset_name dresscode --dataset_root DATA \\
        --caption_file captions_0_2.json --output_dir features/captions_0_2 \\
        --pretrained_model_name_or_path stabilityai/stable-diffusion-3-medium-diffusers

Writes OUTPUT_DIR/<feature>/<category, or phase for VITON-HD>/<garment stem>.pt for the features
CLIP_VIT_L_VIT_G_concat_pooled (2048), CLIP_VIT_L_VIT_G_concat (77, 4096) and T5_XXL (77, 4096), and for each
<feature>/empty_prompt.pt. Resumes; runs under accelerate launch.
"""

import argparse
import time
from functools import cache, partial

import command_line
import command_line.dataset
from temu_vtoff.files import writable_folder
from temu_vtoff.runs.settings import keep_settings


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    dataset, group = command_line.dataset.add_feature_flags(parser, "captions", image_encoders=False)
    command_line.dataset.add_caption_file_flag(dataset, required=True)
    group.add_argument(
        "--encoders", default="all", choices=("all", "clip", "t5"), help="only CLIP's features, or only T5's"
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    started = time.time()
    command_line.quiet_libraries()
    options = command_line.options(args)

    from temu_vtoff.datasets.captions import read_captions
    from temu_vtoff.datasets.features import DTYPES, TextFeatures
    from temu_vtoff.runs.encoders import ENCODERS, TextEncoder
    from temu_vtoff.runs.encoding import encode_empty_prompt, encode_text_items, encoding_settings
    from temu_vtoff.runs.phases import require_unique_ids
    from temu_vtoff.runs.sharing import Share

    datasets = command_line.dataset.open_phases(args, load=())
    require_unique_ids(datasets)
    captions = read_captions(args.caption_file)
    output_dir = writable_folder(args.output_dir)
    with Share.join() as share:
        own = share.options(options)
        settings = encoding_settings(own, args.dtype, base=options.sources.base, captions=args.caption_file.name)
        keep_settings(output_dir / "settings.json", settings)
        load = cache(partial(TextEncoder.load, own, args.encoders))
        made = {"store": TextFeatures(output_dir), "features": ENCODERS[args.encoders], "dtype": DTYPES[args.dtype]}
        if share.is_first:
            encode_empty_prompt(load, **made)
        stage = partial(encode_text_items, captions=captions, load_encoder=load, **made)
        return command_line.dataset.run_phases(
            args, datasets, stage, share=share, what="encode captions", started=started
        )


if __name__ == "__main__":
    command_line.run(main, parse_args())

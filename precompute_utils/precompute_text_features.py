"""Embeddings of a dataset's captions by SD3's text encoders, once for all runs and trainings.

    python precompute_utils/precompute_text_features.py --dataset_name dresscode --dataset_root DATA \\
        --coarse_caption_file captions_0_2.json --output_dir features/captions_0_2 \\
        --pretrained_model_name_or_path stabilityai/stable-diffusion-3-medium-diffusers

Writes OUTPUT_DIR/<feature>/<category, or phase for VITON-HD>/<garment stem>.pt for the features
CLIP_VIT_L_VIT_G_concat_pooled (2048), CLIP_VIT_L_VIT_G_concat (77, 4096) and T5_XXL (77, 4096), and for each
<feature>/empty_prompt.pt. Resumes; runs under accelerate launch.
"""

import argparse
import time
from pathlib import Path

import command_line
import command_line.dataset
from temu_vtoff.files import writable_folder
from temu_vtoff.stages.model_choice import ModelChoice


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    dataset, how = command_line.dataset.add_feature_flags(parser, "captions", image_encoders=False)
    dataset.add_argument("--coarse_caption_file", required=True, type=Path, help="captions, JSON {item id: [caption]}")
    how.add_argument(
        "--encoders", default="all", choices=("all", "clip", "t5"), help="only CLIP's features, or only T5's"
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    started = time.time()
    command_line.quiet_libraries()
    from temu_vtoff.datasets.captions import read_captions
    from temu_vtoff.datasets.features import DTYPES, TextFeatures
    from temu_vtoff.hardware.devices import choose_dtype
    from temu_vtoff.runs.encoding import ENCODERS, TextEncoder, encode_empty_prompt, encode_text_items
    from temu_vtoff.runs.settings import keep_settings
    from temu_vtoff.runs.sharing import Share, cut_batches

    datasets = command_line.dataset.open_phases(args, load=())
    command_line.dataset.require_unique_ids(datasets)
    captions = read_captions(args.coarse_caption_file)
    models = ModelChoice.from_flags(vars(args))
    output_dir = writable_folder(args.output_dir)
    with Share.join() as share:
        device = share.device(args.device)
        dtype = choose_dtype(args.mixed_precision, device)
        settings = {"base": models.base, "captions": args.coarse_caption_file.name}
        keep_settings(output_dir / "settings.json", settings | {"encoded in": str(dtype), "dtype": args.dtype})
        batches = [b for dataset in datasets for b in share.of(cut_batches(dataset.items, args.batch_size))]
        encoder = TextEncoder.load(models, device, dtype, args.encoders)
        store, how = TextFeatures(output_dir), (ENCODERS[args.encoders], DTYPES[args.dtype])
        failures = encode_text_items(
            batches, captions, encoder, store, *how, progress=command_line.dataset.progress(share, "encode")
        )
        if share.is_first:
            encode_empty_prompt(encoder, store, *how)
        what = "captions encoded"
        failed = command_line.dataset.finish(share, output_dir, args, started, failures, datasets, what)
    return 1 if failed else 0


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Trains try-off, the feature extractor and the generator, or try-on on pairs of photo and product picture.

The published model's two stages, on SD3's weights and Dress Code, on every GPU of the machine:

    accelerate launch train.py --config configs/published_extractor.json --dataset_root DressCode \
        --output_dir runs/extractor
    accelerate launch train.py --config configs/published_generator.json --dataset_root DressCode \
        --caption_file captions_train.json captions_test.json \
        --pretrained_extractor_name_or_path runs/extractor --output_dir runs/generator

Both transformers at once, small, from fresh weights, on drawn people:

    python -m drawn_people --layout dresscode --train 2100 --test 100 --seed 1 --output data/drawn
    python train.py --stage joint --from_scratch --pretrained_model_name_or_path builtin --dataset_root data/drawn \
        --caption_file data/drawn/truth/train.json data/drawn/truth/test.json --cache_dir data/drawn_encoded \
        --output_dir runs/joint --correct_clip_input --max_train_steps 7800 --learning_rate 2e-3 --shift 2 \
        --caption_dropout 0.6

Try-on, its three models at once, on SD3's weights:

    accelerate launch train.py --config configs/published_try_on.json --dataset_root DressCode --output_dir runs/try_on

An interrupted run resumes with --resume_from_checkpoint latest and has the same losses as an uninterrupted one.
`inference.py --pretrained_model_name_or_path_sd3_tryoff` takes the output folder. See docs/training.md.
"""

from __future__ import annotations

import argparse
import time

import command_line
import command_line.training
from temu_vtoff import training
from temu_vtoff.training.settings import TrainingSettings


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    command_line.training.add_flags(parser)
    return command_line.training.parse(parser, argv, without=command_line.training.BUILTIN_FLAGS)


def main(args: argparse.Namespace) -> int:
    started = time.time()
    settings = TrainingSettings.from_flags(vars(args))
    command_line.quiet_libraries()
    outcome = training.train(settings, arguments=vars(args), started=started)
    return command_line.training.report(outcome, settings.output_dir)


if __name__ == "__main__":
    command_line.run(main, parse_args())

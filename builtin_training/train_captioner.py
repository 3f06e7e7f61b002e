"""Trains the built-in captioner: stock Qwen2.5-VL, small, to answer `caption_prompt` for photos and product pictures.

    python -m builtin_training.train_captioner --dataset_root runs/drawn --output_dir runs/captioner

The first part of the run (`--looking_only`) trains only the vision tower, on label maps, attributes and measures.
The rest trains everything, and the language model learns to answer.
"""

from __future__ import annotations

import argparse

import command_line
from builtin_training import part_flags
from command_line.config import parse_with_config
from temu_vtoff.errors import ArgumentError

PHOTO_SHARE = 0.7  # share of photos among the pictures; the others are product pictures


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    part_flags.add_arguments(parser, steps=19_600, batch_size=24, learning_rate=1.5e-3, ema_decay=0.99)
    add = parser.add_argument
    add("--captioner", help="folder of the captioner to start from, or builtin; default: random weights")
    add("--looking_only", type=float, default=1 / 3, help="share of the run that trains only the vision tower, 0 to 1")
    return parse_with_config(parser, argv)


def main(args: argparse.Namespace) -> None:
    import torch

    from builtin_training import data, loop
    from builtin_training.captioner import (
        SupervisedCaptioner,
        attributes_in_captions,
        attributes_seen,
        build_captioner,
        build_processor,
        dialogues,
    )
    from builtin_training.captioner_data import open_pictures
    from builtin_training.tokenizers_from_text import qwen_tokenizer
    from temu_vtoff.captioning.captioner import Captioner
    from temu_vtoff.captioning.prompt import SOURCES, caption_prompt

    if not 0 <= args.looking_only <= 1:
        raise ArgumentError(
            f"{{looking_only}} is {args.looking_only}; give a share of the run, from 0 to 1.", "looking_only"
        )
    train_items = data.read_items(args.dataset_root, "train")
    test_items = data.read_items(args.dataset_root, "test", args.num_validation_items)
    torch.manual_seed(args.seed)
    if args.captioner:
        captioner = Captioner.from_pretrained(args.captioner)
        model, processor = captioner.model, captioner.processor
    else:
        prompts = [caption_prompt(category, source) for category in data.CATEGORIES for source in SOURCES]
        tokenizer = qwen_tokenizer([*prompts, *(item.caption for item in train_items)])
        model, processor = build_captioner(tokenizer), build_processor(tokenizer)
    supervised = SupervisedCaptioner(model, train_items)
    supervised.captioner.set_attn_implementation({"vision_config": "eager"})  # 1.4 times as fast in bf16 on a CPU

    def loss(supervised: SupervisedCaptioner, step: loop.Step) -> dict[str, torch.Tensor]:
        items = [train_items[i] for i in step.items]
        worn = [bool(x < PHOTO_SHARE) for x in torch.rand(len(items), generator=step.rng)]
        pictures, label_maps = open_pictures(items, worn, step.rng)
        looking_only = step.progress < args.looking_only
        if looking_only:
            inputs = processor.image_processor(pictures, do_resize=False, return_tensors="pt")
        else:
            inputs = dialogues(processor, items, worn, pictures)
        inputs = inputs.to(supervised.questions.weight.device)
        tokens = supervised.look(inputs)
        losses = {"labels": supervised.labels.loss(tokens, label_maps)} | supervised.garment_losses(tokens, items)
        if not looking_only:
            losses["answer"] = supervised.answer_loss(inputs, tokens)
        losses["loss"] = sum(losses.values())
        return losses

    def validate(supervised: SupervisedCaptioner) -> dict[str, float]:
        captions = attributes_in_captions(Captioner(supervised.captioner, processor), test_items)
        return attributes_seen(supervised, processor, test_items) | captions

    supervised = loop.train(supervised, loss=loss, validate=validate, num_items=len(train_items), args=args)
    folder = args.output_dir / "captioner"
    supervised.captioner.to(torch.float16).save_pretrained(folder)
    processor.save_pretrained(folder)
    print(f"The captioner is in {folder}.")


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Trains the built-in captioner: stock Qwen2.5-VL, small, to answer `caption_prompt` for photos and product pictures.

    python -m builtin_training.train_captioner --dataset_root runs/drawn --output_dir runs/captioner

The first part of the run (`--looking_only`) trains only the vision tower, on label maps, attributes and measures.
The rest trains everything, and the language model learns to answer.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import command_line
from builtin_training import part_flags
from command_line.config import parse_with_config
from temu_vtoff.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image
    from transformers import Qwen2_5_VLProcessor

    from builtin_training import loop
    from builtin_training.captioner import SupervisedCaptioner
    from builtin_training.data import Item
    from temu_vtoff.captioning.captioner import Captioner

PHOTO_SHARE = 0.7  # share of photos among the pictures; the others are product pictures
MAX_CUT = 10  # pixels that may be cut off at each border


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
    from builtin_training.captioner import SupervisedCaptioner, build_captioner, build_processor, dialogues
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


def open_pictures(
    items: list[Item], worn: list[bool], generator: torch.Generator | None = None
) -> tuple[list[Image.Image], torch.Tensor]:
    """Photo or product picture of each item, in the captioner's size.

    Args:
        generator: When given, flips the pictures and cuts their borders at random.

    Returns:
        B pictures, and their label maps (B, H, W) uint8; a product picture's garment has its category's first label.
    """
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    from builtin_training.captioner import PICTURE_SIZE

    def vary(layer: Image.Image, cuts: list[int], flip: bool, resample: Image.Resampling) -> Image.Image:
        left, top, right, bottom = cuts
        box = (left, top, layer.width - right, layer.height - bottom)
        layer = layer.resize(PICTURE_SIZE, resample, box)
        return ImageOps.mirror(layer) if flip else layer

    pictures, label_maps = [], []
    for item, is_worn in zip(items, worn, strict=True):
        cuts, flip = [0, 0, 0, 0], False
        if generator is not None:
            cuts = torch.randint(MAX_CUT + 1, (4,), generator=generator).tolist()
            flip = bool(torch.rand((), generator=generator) < 0.5)
        picture = item.open_photo() if is_worn else item.open_product()
        pictures.append(vary(picture, cuts, flip, Image.Resampling.BICUBIC))
        label_map = Image.fromarray(item.read_labels() if is_worn else product_labels(picture, item.category))
        label_maps.append(np.asarray(vary(label_map, cuts, flip, Image.Resampling.NEAREST)))
    return pictures, torch.from_numpy(np.stack(label_maps))


def product_labels(product: Image.Image, category: str) -> np.ndarray:
    """(H, W) uint8: the category's first label on the garment, 0 around it."""
    import numpy as np
    from torchvision.transforms.functional import to_tensor

    from temu_vtoff.metrics.silhouette import silhouettes
    from temu_vtoff.segmentation.labels import ATR

    garment = silhouettes(to_tensor(product)[None])[0].numpy()
    return garment.astype(np.uint8) * np.uint8(ATR.of_category(category)[0])


def attributes_seen(
    supervised: SupervisedCaptioner, processor: Qwen2_5_VLProcessor, items: list[Item]
) -> dict[str, float]:
    """Share of attributes that the heads predict correctly from the vision tower's tokens."""
    numbers = {}
    for source, is_worn in (("person", True), ("garment", False)):
        shares = []
        for start in range(0, len(items), 32):
            batch = items[start : start + 32]
            pictures = [item.open_photo() if is_worn else item.open_product() for item in batch]
            inputs = processor.image_processor(pictures, return_tensors="pt").to(supervised.questions.weight.device)
            found = supervised.find_attributes(supervised.look(inputs), batch)
            shares.append(supervised.attributes.accuracy(found, batch) * len(batch))
        numbers[f"seen_{source}"] = sum(shares) / len(items)
    return numbers


def attributes_in_captions(captioner: Captioner, items: list[Item]) -> dict[str, float]:
    """Share of attributes that are right in greedy captions of photos and of product pictures."""
    from drawn_people.attributes import attributes_right

    numbers = {}
    for source in ("person", "garment"):
        hits = []
        for start in range(0, len(items), 32):
            batch = items[start : start + 32]
            pictures = [item.open_photo() if source == "person" else item.open_product() for item in batch]
            captions = captioner(pictures, [item.category for item in batch], source, temperature=0)
            for item, caption in zip(batch, captions, strict=True):
                hits += attributes_right(caption, item.attributes)
        numbers[f"caption_{source}"] = sum(hits) / len(hits)
    return numbers


if __name__ == "__main__":
    command_line.run(main, parse_args())

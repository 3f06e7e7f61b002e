"""A caption of the garment in a picture: one line on its shape, by Qwen2.5-VL.

    python precompute_utils/captioning_qwen.py --image_path photo.jpg --image_category upper_body \\
        --output_path outputs/photo_caption.txt

    from precompute_utils.captioning_qwen import Captioner
    captioner = Captioner.from_pretrained()
    captions = captioner([Image.open(path) for path in paths], "dresses")
"""

import argparse
import sys
from pathlib import Path

if not __package__:  # run by its path: Python then looks for modules beside this file, not in the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import command_line
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.captioning import ATTRIBUTES, MAX_PIXELS, PUBLISHED_CAPTIONER, SOURCES, Captioner
from temu_vtoff.files import writable_folder, write_text
from temu_vtoff.pictures import open_picture

__all__ = ["Captioner"]

DRAWN_ONLY = f"The built-in captioner knows drawn people only; for photographs use {PUBLISHED_CAPTIONER}."


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add(
        "--pretrained_model_name_or_path",
        default=PUBLISHED_CAPTIONER,
        metavar="MODEL",
        help='Qwen2.5-VL by hub id or folder, or "builtin"',
    )
    add("--image_path", type=Path, required=True, help="the picture")
    add("--output_path", type=Path, required=True, help="the text file to write")
    add("--image_category", default="upper_body", choices=tuple(ATTRIBUTES), help="the garment meant")
    add("--caption_source", default="person", choices=SOURCES, help="what the picture shows: it worn, or it alone")
    add("--temperature", type=float, default=0.2, help="0 for the likeliest words; the higher, the more varied")
    add("--max_new_tokens", type=command_line.positive, default=75, help="longer captions are cut")
    add(
        "--max_pixels",
        type=command_line.positive,
        help="larger pictures are reduced to so many pixels, 28x28 for a visual token; when absent, the model's own "
        f"bound, but at most {MAX_PIXELS}",
    )
    add("--seed", type=int, default=0, help="of the sampling")
    add("--device", help="cpu, cuda, cuda:1 or mps; the best there is when absent")
    add(
        "--mixed_precision",
        choices=command_line.MIXED_PRECISION,
        help="when absent, bf16 on a GPU that has it, else no",
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    picture = open_picture(args.image_path)
    if args.output_path.suffix != ".txt":
        raise ValueError(f"--output_path is {args.output_path}; give a .txt file.")
    writable_folder(args.output_path.parent)
    command_line.quiet_libraries()
    from temu_vtoff.devices import choose_device, choose_dtype

    device = choose_device(args.device)
    if args.pretrained_model_name_or_path == BUILTIN:
        command_line.say(DRAWN_ONLY)
    captioner = Captioner.from_pretrained(
        args.pretrained_model_name_or_path,
        device,
        choose_dtype(args.mixed_precision, device),
        max_pixels=args.max_pixels,
    )
    (caption,) = captioner(
        picture,
        args.image_category,
        source=args.caption_source,
        temperature=args.temperature,
        max_new_tokens=args.max_new_tokens,
        seed=args.seed,
    )
    if not caption:
        raise ValueError(f"{args.pretrained_model_name_or_path} answered nothing to {args.image_path}; try --seed.")
    write_text(args.output_path, caption + "\n")
    print(f"{args.output_path}: {caption}")


if __name__ == "__main__":
    command_line.run(main, parse_args())

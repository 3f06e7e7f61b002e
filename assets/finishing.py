"""Draws finishing.png for docs/finishing.md: one photo through every finishing option.

    python assets/finishing.py

The product picture is the built-in model's; its background is darkened to 244, as the published model leaves it.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import command_line
import temu_vtoff
from temu_vtoff.finishing import Finish, finish_picture
from temu_vtoff.pictures import open_picture, save_picture

FOLDER = Path(__file__).parent
PHOTO = FOLDER.parent / "examples" / "example3.jpg"
CELL, GAP, LINE = (172, 230), 14, 13
COLUMNS = 5
PAPER, INK, FRAME = (255, 255, 255), (40, 40, 40), (200, 200, 200)
OPTIONS = {
    "--background keep": Finish(),
    "--background white": Finish(background="white"),
    "--background #dfe7ea": Finish(background="#dfe7ea"),
    "--background transparent": Finish(background="transparent"),
    "--background white --trim": Finish(background="white", trim=True),
    "… --margin 8%": Finish(background="white", margin="8%"),
    "… --margin 8% --canvas 600x600": Finish(background="white", margin="8%", canvas="600x600"),
    "… --canvas 600x900 --align top": Finish(background="white", margin="8%", canvas="600x900", align="top"),
    "… --keep_size": Finish(background="white", margin="8%", keep_size=True),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    parser.add_argument("--output", type=Path, default=FOLDER / "finishing.png", help="picture to write")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    photo = open_picture(PHOTO)
    product = next(temu_vtoff.TryOff(temu_vtoff.Options(tryoff="builtin", preset="fast"))(PHOTO, category="dresses"))
    picture = Image.fromarray((np.asarray(product.images[0]) * (244 / 255)).round().astype(np.uint8))
    finished = {name: finish_picture(picture, finish, photo_size=photo.size) for name, finish in OPTIONS.items()}
    print(save_picture(lay_out({"photo": photo} | finished).quantize(256), args.output, optimize=True))


def lay_out(cells: dict[str, Image.Image]) -> Image.Image:
    """The pictures in rows, each with its flags below."""
    width, height = CELL[0] + GAP, CELL[1] + GAP + 2 * LINE
    rows = -(-len(cells) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width + GAP, rows * height + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(LINE - 2)
    for number, (name, picture) in enumerate(cells.items()):
        x, y = GAP + number % COLUMNS * width, GAP + number // COLUMNS * height
        scale = min(CELL[0] / picture.width, CELL[1] / picture.height)
        small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
        ground = checkerboard(small.size)
        ground.alpha_composite(small.convert("RGBA"))
        sheet.paste(ground.convert("RGB"), (x, y))
        draw.rectangle((x - 1, y - 1, x + small.width, y + small.height), outline=FRAME)
        draw.text((x, y + CELL[1] + 3), name, INK, font)
    return sheet


def checkerboard(size: tuple[int, int]) -> Image.Image:
    """What shows where a picture is transparent."""
    x, y = np.meshgrid(*(np.arange(side) // 8 for side in size))
    return Image.fromarray(np.where((x + y) % 2, 255, 205).astype(np.uint8)).convert("RGBA")


if __name__ == "__main__":
    command_line.run(main, parse_args())

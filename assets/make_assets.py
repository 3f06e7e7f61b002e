"""Draws the README's pictures with the current built-in model.

    python assets/make_assets.py
    python assets/make_assets.py --only workflow

teaser.png: three held-out people for each category, none chosen, each as the photo and the product picture generated
with the model's own segmenter and captioner. workflow.svg and workflow.png: the method, with an example and its outputs
(`make examples` renews those). try_on.png: the first three held-out people in the garments of the next three, each
picture beside its truth. compair.png: the model beside its ablations and a baseline, and published numbers.
"""

import argparse
from pathlib import Path

from PIL import Image

import command_line
import temu_vtoff
from builtin_training.cases import HELD_OUT_SEEDS
from drawn_people import CATEGORIES, draw_person
from temu_vtoff.pictures import save_picture

FOLDER = Path(__file__).parent
PICTURES = ("teaser", "workflow", "try_on", "compair")
PER_CATEGORY = 3
GAP, PAPER = 10, (255, 255, 255)


def make_pairs() -> list[list[tuple[Image.Image, Image.Image]]]:
    """For each category, photos with their generated product pictures."""
    toolkit = temu_vtoff.TryOff(temu_vtoff.Options(tryoff="builtin"), keep_loaded=True)
    rows = []
    for category in CATEGORIES:
        garments = toolkit.segment(
            [draw_person(HELD_OUT_SEEDS + i, category).photo for i in range(PER_CATEGORY)], category
        )
        toolkit.caption(garments)
        products = [next(toolkit.generate([garment], seed=i)) for i, garment in enumerate(garments)]
        rows.append([(product.garment.photo, product.images[0]) for product in products])
    return rows


def lay_out(rows: list[list[tuple[Image.Image, Image.Image]]]) -> Image.Image:
    """A row for each category; photo and product touch, pairs stand apart."""
    width, height = rows[0][0][0].size
    sheet_size = (PER_CATEGORY * (2 * width + GAP) + GAP, len(rows) * (height + GAP) + GAP)
    sheet = Image.new("RGB", sheet_size, PAPER)
    for r, row in enumerate(rows):
        for c, pair in enumerate(row):
            for k, picture in enumerate(pair):
                sheet.paste(picture, (GAP + c * (2 * width + GAP) + k * width, GAP + r * (height + GAP)))
    return sheet


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--only", nargs="+", choices=PICTURES, default=PICTURES, help="which pictures to make")
    add("--count", type=command_line.positive, default=20, help="people per category that compair.png measures")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    if "teaser" in args.only:
        print(save_picture(lay_out(make_pairs()), FOLDER / "teaser.png", optimize=True))
    if "workflow" in args.only:
        from workflow import save_workflow

        print(*save_workflow(FOLDER.parent / "examples" / "example1.jpg", FOLDER), sep="\n")
    if "try_on" in args.only:
        from fitting_table import make_table

        print(save_picture(make_table().quantize(256), FOLDER / "try_on.png", optimize=True))
    if "compair" in args.only:
        from comparison import save_comparison

        print(save_comparison(FOLDER, args.count))


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Three people times three garments by the built-in try-on model, each picture beside the same person drawn in it."""

from PIL import Image, ImageDraw, ImageFont

import temu_vtoff
from builtin_training.cases import HELD_OUT_SEEDS
from builtin_training.try_on_cases import draw_case, find_regions, make
from drawn_people import draw_person

CATEGORY = "upper_body"
PEOPLE = GARMENTS = 3
GAP, LINE, PAPER, INK = 10, 16, (255, 255, 255), (40, 40, 40)


def make_table() -> Image.Image:
    """A row for each of the first held-out people, a column for each garment of the next ones."""
    people = [draw_person(HELD_OUT_SEEDS + number, CATEGORY) for number in range(PEOPLE + GARMENTS)]
    cases = [draw_case(CATEGORY, people, row, PEOPLE + column) for row in range(PEOPLE) for column in range(GARMENTS)]
    toolkit = temu_vtoff.TryOn(temu_vtoff.TryOnOptions(), keep_loaded=True)
    pictures = make(find_regions(cases, toolkit), "product", toolkit)
    width, height = cases[0].photo.size
    left, top, cell = width + 2 * GAP, height + 2 * GAP + LINE, 2 * width + GAP
    sheet = Image.new("RGB", (left + GARMENTS * cell, top + PEOPLE * (height + GAP)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(LINE - 3)
    for number, (case, picture) in enumerate(zip(cases, pictures, strict=True)):
        x, y = left + number % GARMENTS * cell, top + number // GARMENTS * (height + GAP)
        sheet.paste(picture, (x, y))
        sheet.paste(case.truth, (x + width, y))
        if number < GARMENTS:
            sheet.paste(case.product, (x + width // 2, GAP))
            for place, words in ((x, "built-in model"), (x + width, "truth")):
                draw.text((place + 4, top - LINE - 4), words, INK, font)
        if number % GARMENTS == 0:
            sheet.paste(case.photo, (GAP, y))
    return sheet

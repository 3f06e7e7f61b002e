"""Pictures side by side with a line of text below: how results are shown to people."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

GAP = 8  # pixels between and around the pictures
PAPER, INK = (255, 255, 255), (40, 40, 40)
FRAME = (225, 225, 225)


def panel(pictures: Sequence[Image.Image], caption: str = "") -> Image.Image:
    """The pictures in a row, each at the first one's height, with the caption in lines below.

    Args:
        pictures: At least one picture, of any sizes and modes.
        caption: Text below, wrapped to the width of the row.

    Returns:
        An RGB picture.
    """
    height = pictures[0].height
    row = [p.convert("RGB").resize((max(1, round(p.width * height / p.height)), height)) for p in pictures]
    width = sum(p.width for p in row) + GAP * (len(row) + 1)
    font = ImageFont.load_default(max(12, height // 20))
    lines = _wrap(caption, font, width - 2 * GAP)
    line_height = round(font.size * 1.35)
    foot = line_height * len(lines) + GAP if lines else 0

    sheet = Image.new("RGB", (width, height + 2 * GAP + foot), PAPER)
    draw = ImageDraw.Draw(sheet)
    x = GAP
    for picture in row:
        sheet.paste(picture, (x, GAP))
        draw.rectangle((x - 1, GAP - 1, x + picture.width, GAP + height), outline=FRAME)
        x += picture.width + GAP
    for number, line in enumerate(lines):
        draw.text((GAP, height + 2 * GAP + number * line_height), line, INK, font)
    return sheet


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines

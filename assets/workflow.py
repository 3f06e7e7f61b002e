"""Draws workflow.svg: the three steps, the two transformers, and the attention that joins them."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

EXAMPLE = Path(__file__).parent.parent / "examples" / "outputs"
INK, QUIET, PAPER, PANEL = "#1f2937", "#64748b", "#ffffff", "#f1f5f9"
STEP, IMAGE, REFERENCE, TEXT = "#475569", "#93c5fd", "#fda4af", "#a7f3d0"  # each kind of token has a colour
SIZE = (124, 64)  # of the sheet; a unit is a tenth of an inch
BLOCKS = {62: "1", 71: "2", 80: "…", 89: "24"}  # left edges of the blocks
BLOCK = 7  # wide
GENERATOR, EXTRACTOR = 42, 17  # lower edges of their blocks, which are 8 high


def draw_workflow(photo: Path) -> Figure:
    """The sheet, with a photo and its outputs; `save_workflow` writes it."""
    figure = Figure(figsize=(SIZE[0] / 10, SIZE[1] / 10), facecolor=PAPER)
    sheet = figure.add_axes((0, 0, 1, 1))
    sheet.set(xlim=(0, SIZE[0]), ylim=(0, SIZE[1]))
    sheet.axis("off")
    name = photo.stem

    _picture(sheet, photo, (2, 22, 15), "photo")
    _box(sheet, (22, 47, 20, 8), "2  Caption", "Qwen2.5-VL", STEP, PAPER)
    caption = (EXAMPLE / f"{name}_caption.txt").read_text(encoding="utf-8").strip()
    _words(sheet, 32, 41, fill(f"“{caption}”", 25), 8, style="italic")
    _box(sheet, (22, 23, 20, 8), "1  Segment", "SegFormer", STEP, PAPER)
    _picture(sheet, EXAMPLE / f"{name}_binary_mask.png", (22, 8, 9), "mask")
    _picture(sheet, EXAMPLE / f"{name}_fine_mask.png", (33, 8, 9), "garment grey")
    _arrow(sheet, (10, 42.5), (21.5, 51), bend=-0.25)
    _arrow(sheet, (17.5, 32), (21.5, 28))
    _arrow(sheet, (32, 23), (32, 20.5))

    _panel(sheet, (46, 6, 56, 55), "3  Try off")
    _box(sheet, (49, GENERATOR, 9, 8), "text\nencoders", "", TEXT)
    _box(sheet, (49, EXTRACTOR, 9, 8), "VAE,\nCLIP", "", IMAGE)
    for left, label in BLOCKS.items():
        for bottom, colour in ((GENERATOR, IMAGE), (EXTRACTOR, REFERENCE)):
            if label == "…":
                _words(sheet, left + BLOCK / 2, bottom + 4, label, 16)
            else:
                _box(sheet, (left, bottom, BLOCK, 8), label, "", colour)
        if label != "…":
            _arrow(sheet, (left + BLOCK / 2, EXTRACTOR + 8.4), (left + BLOCK / 2, GENERATOR - 0.5), REFERENCE, 3)
            _words(sheet, left + BLOCK / 2 + 0.8, 33, f"$K_{{{label}}}, V_{{{label}}}$", 9, align="left")
    for bottom in (GENERATOR, EXTRACTOR):
        for start, end in ((58.3, 61.7), (69.3, 70.7), (78.3, 80.7), (86.3, 88.7)):
            _arrow(sheet, (start, bottom + 4), (end, bottom + 4))
    _words(sheet, 85.2, 28, "the garment\nas worn", 8, QUIET)
    _words(sheet, 59.2, 53.4, "noise", 8, QUIET)
    _arrow(sheet, (60, 52.2), (63.2, 50.4), bend=0.2)
    _arrow(sheet, (92.5, GENERATOR + 8.4), (65.5, GENERATOR + 8.4), bend=0.22)
    _words(sheet, 79, 57, "Generator: Stable Diffusion 3, 28 Euler steps", 9)
    _words(sheet, 79, 13.4, "Feature extractor: SD3 without text, once a photo", 9)
    _words(sheet, 53.5, 12.6, "photo, mask,\ngarment grey", 8, QUIET)
    _arrow(sheet, (42.5, 51), (48.5, 46.5), bend=-0.15)
    _arrow(sheet, (42.5, 15), (48.5, 20.5), bend=0.15)

    _arrow(sheet, (96.4, GENERATOR + 4), (105.4, GENERATOR + 4))
    _words(sheet, 101.2, GENERATOR + 6, "VAE", 8, QUIET)
    _picture(sheet, EXAMPLE / f"{name}_output.png", (106, 36, 15), "product picture")
    _attention(sheet, 105, 6)
    return figure


def save_workflow(photo: Path, folder: Path) -> list[Path]:
    """Writes workflow.svg, the vector source, and workflow.png."""
    paths = [folder / "workflow.svg", folder / "workflow.png"]
    with rc_context({"svg.hashsalt": "workflow", "font.family": "DejaVu Sans"}):  # the same bytes every time
        figure = draw_workflow(photo)
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=150, metadata={"Software": None})
    return paths


def _attention(sheet: Axes, left: float, bottom: float) -> None:
    """The attention's formula, which is also the legend of the colours."""
    _words(sheet, left, bottom + 21, "In every block:\nhybrid attention", 9, align="left", weight="bold")
    rows = {"Q": [IMAGE, TEXT], "K": [IMAGE, REFERENCE, TEXT], "V": [IMAGE, REFERENCE, TEXT]}
    for number, (name, colours) in enumerate(rows.items()):
        y = bottom + 13.5 - 3.4 * number
        _words(sheet, left + 0.8, y + 1.2, name, 10)
        x = left + 2.6
        for colour in colours:
            width = 3 if colour == TEXT else 5.4
            _box(sheet, (x, y, width, 2.4), "", "", colour, rounding=0.4)
            x += width + 0.3
    for number, (colour, meaning) in enumerate(((IMAGE, "image"), (REFERENCE, "reference"), (TEXT, "text"))):
        x = left + 0.2 + (0, 6, 14.2)[number]
        _box(sheet, (x, bottom + 3.4, 1.1, 1.1), "", "", colour, rounding=0.2)
        _words(sheet, x + 1.6, bottom + 3.9, meaning, 7.5, QUIET, align="left")
    formula = r"$\mathrm{softmax}(QK^{\!\top}\!/\sqrt{d}\,)\,V$"
    _words(sheet, left, bottom + 0.4, formula, 10, align="left")


def _picture(sheet: Axes, path: Path, place: tuple[float, float, float], title: str) -> None:
    """A picture at (left, bottom, width), with its title below."""
    left, bottom, width = place
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((384, 512))
    height = width * picture.height / picture.width
    sheet.imshow(picture, extent=(left, left + width, bottom, bottom + height), aspect="auto", zorder=2)
    sheet.add_patch(FancyBboxPatch((left, bottom), width, height, "square,pad=0", fc="none", ec="#cbd5e1", zorder=3))
    _words(sheet, left + width / 2, bottom - 1.6, title, 8, QUIET)


def _panel(sheet: Axes, place: tuple[float, float, float, float], title: str) -> None:
    left, bottom, width, height = place
    shape = FancyBboxPatch(
        (left, bottom), width, height, "round,pad=0,rounding_size=1.5", fc=PANEL, ec="none", zorder=0
    )
    sheet.add_patch(shape)
    _words(sheet, left + 2.5, bottom + height - 3, title, 12, align="left", weight="bold")


def _box(
    sheet: Axes,
    place: tuple[float, float, float, float],
    title: str,
    below: str,
    colour: str,
    ink: str = INK,
    rounding: float = 1,
) -> None:
    left, bottom, width, height = place
    style = f"round,pad=0,rounding_size={rounding}"
    sheet.add_patch(FancyBboxPatch((left, bottom), width, height, style, fc=colour, ec="none", zorder=2))
    middle = bottom + height / 2
    _words(sheet, left + width / 2, middle + (1.5 if below else 0), title, 12 if below else 9, ink, weight="bold")
    _words(sheet, left + width / 2, middle - 1.7, below, 9, ink)


def _words(
    sheet: Axes,
    x: float,
    y: float,
    words: str,
    size: float,
    colour: str = INK,
    align: str = "center",
    weight: str = "normal",
    style: str = "normal",
) -> None:
    look = {"color": colour, "fontsize": 1.15 * size, "fontweight": weight, "fontstyle": style}
    sheet.text(x, y, words, ha=align, va="center", zorder=4, linespacing=1.35, **look)


def _arrow(
    sheet: Axes, start: Sequence[float], end: Sequence[float], colour: str = STEP, width: float = 1.4, bend: float = 0
) -> None:
    curve = f"arc3,rad={bend}"
    head = f"-|>,head_length={2.5 + width},head_width={1.2 + width / 2}"
    arrow = FancyArrowPatch(
        start, end, connectionstyle=curve, arrowstyle=head, color=colour, lw=width, shrinkA=0, shrinkB=0, zorder=1
    )
    sheet.add_patch(arrow)

"""Shirts with words: which ones, and where the product picture shows the print."""

from dataclasses import replace

import numpy as np

from drawn_people.body import Body
from drawn_people.canvas import Canvas
from drawn_people.garments import Design, draw_design, lay_flat
from drawn_people.lettering import half_height, letter_boxes
from drawn_people.palettes import contrasting
from drawn_people.patterns import Texture
from temu_vtoff.metrics.prints import Box, Print

WORDS = (
    "SUN", "RIVER", "NORTH", "PEAK", "LUNA", "FERN", "BRAVE", "KIND", "JAZZ", "OSLO", "QUIET", "SURF", "TEXAS", "WILD",
    "GOOD", "HELLO", "CLUB", "DREAM", "FIVE", "PARIS", "RUN", "BERLIN", "ZEBRA", "YES",
)  # fmt: skip
_KINDS = ("t-shirt", "sweater", "hoodie")
_HALF_WIDTHS = (12.0, 15.5)  # of a word, in figure units


def draw_lettered(rng: np.random.Generator, unit: float, avoid: np.ndarray | None = None) -> Design:
    """A random shirt, sweater or hoodie with a word on the chest; arguments as for `draw_design`."""
    design = draw_design(rng, "upper_body", unit, avoid)
    while design.cut.kind not in _KINDS or design.cut.closure:
        design = draw_design(rng, "upper_body", unit, avoid)
    color, cut, word = design.texture.colors[0], design.cut, str(rng.choice(WORDS))
    size = float(rng.uniform(*_HALF_WIDTHS))
    texture = Texture(
        pattern="letters",
        colors=[color, contrasting(rng, color, 120)],
        graphic=True,
        word=word,
        size=size,
        center=(0.0, cut.neck_depth + 5.0 + size * half_height(word)),
    )
    return replace(design, texture=texture, cut=replace(cut, pocket="" if cut.pocket == "chest" else cut.pocket))


def product_print(design: Design, body: Body, width: int, height: int) -> Print | None:
    """Where the product picture that `draw_product` makes shows the single print; None without one."""
    texture = design.texture
    if not texture.graphic:
        return None
    canvas = Canvas(width, height)
    lay_flat(canvas, design, body)

    def place(box: Box) -> Box:
        corners = np.reshape(box, (2, 2)) * texture.size + texture.center
        return tuple(round(float(edge), 2) for edge in (corners * canvas.scale + canvas.offset).ravel())

    if not texture.word:
        return Print(place((-1.0, -1.0, 1.0, 1.0)))
    high = half_height(texture.word)
    letters = tuple((letter, place(box)) for letter, box in letter_boxes(texture.word))
    return Print(place((-1.0, -high, 1.0, high)), letters)

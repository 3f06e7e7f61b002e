"""Words as patterns: their shape in a print's own coordinates.

Letters: a word reaches from u = -1 to 1, its middle line is v = 0, and its height follows from its letters.
"""

from functools import lru_cache

import numpy as np
from PIL import Image

from temu_vtoff.metrics.prints import glyph

_HEIGHT = 96  # pixels of a word's picture
_SPACE = 0.14  # between letters, of their height


@lru_cache(maxsize=64)
def _word(word: str) -> tuple[Image.Image, tuple[tuple[int, int], ...]]:
    """The word's picture, L, and from where to where each letter reaches."""
    letters = [glyph(letter) for letter in word]
    widths = [round(letter.width * _HEIGHT / letter.height) for letter in letters]
    gap = round(_SPACE * _HEIGHT)
    picture = Image.new("L", (sum(widths) + gap * (len(word) - 1), _HEIGHT))
    left, spans = 0, []
    for letter, width in zip(letters, widths, strict=True):
        picture.paste(letter.resize((width, _HEIGHT), Image.Resampling.LANCZOS), (left, 0))
        spans.append((left, left + width))
        left += width + gap
    return picture, tuple(spans)


def half_height(word: str) -> float:
    """Of the word, where its half width is 1."""
    picture, _ = _word(word)
    return picture.height / picture.width


def letter_boxes(word: str) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Each letter with its left, top, right and bottom."""
    picture, spans = _word(word)
    high = half_height(word)
    return [
        (letter, (2 * left / picture.width - 1, -high, 2 * right / picture.width - 1, high))
        for letter, (left, right) in zip(word, spans, strict=True)
    ]


def letters_layer(word: str, u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
    """How much ink points (n,), (n,) have, in [0, 1], softened over one output pixel: (n,) float32."""
    ink, step = _reduced(word, max(1, round(pixel * _word(word)[0].width / 2)))
    x = (u + 1) * _word(word)[0].width / 2 / step + 0.5
    y = (v + half_height(word)) * _word(word)[0].width / 2 / step + 0.5
    x, y = np.clip(x, 0, ink.shape[1] - 1.001), np.clip(y, 0, ink.shape[0] - 1.001)
    column, row = x.astype(int), y.astype(int)
    right, down = x - column, y - row
    above = ink[row, column] * (1 - right) + ink[row, column + 1] * right
    below = ink[row + 1, column] * (1 - right) + ink[row + 1, column + 1] * right
    return (above * (1 - down) + below * down).astype(np.float32)


@lru_cache(maxsize=256)
def _reduced(word: str, step: int) -> tuple[np.ndarray, int]:
    """The word's ink in [0, 1] at 1/step of its size, with an empty border."""
    ink = np.asarray(_word(word)[0].reduce(step), np.float32) / 255
    return np.pad(ink, 1), step

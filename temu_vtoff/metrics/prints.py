"""How much of a printed word or logo survives: the print's region of a product picture against the truth's.

No network reads the letters. `print_correlation` compares the patterns; `letters_right` matches the place of a letter
with the glyphs of the alphabet. Both must know where the print is; drawn people's truth says it.
"""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from temu_vtoff.pictures import fit_picture

Box = tuple[float, float, float, float]  # left, top, right, bottom; pixels of the truth
ALPHABET = string.ascii_uppercase
SHIFT = 0.08  # of the print's width: a print may lie so far from its place
LEAST_CORRELATION = 0.4  # of a letter with its glyph, below which it can't be read
_MARGIN = 0.12  # of a letter's height, around it
_GLYPH_SIZE = 96  # points
_STROKE = 0.035  # of the glyphs' size: bold


@dataclass(frozen=True)
class Print:
    """A print's place in the true product picture.

    Attributes:
        box: Around all of it.
        letters: Each letter of `ALPHABET` with its box, in reading order; empty for a logo.
    """

    box: Box
    letters: tuple[tuple[str, Box], ...] = ()


@lru_cache(maxsize=64)
def glyph(letter: str) -> Image.Image:
    """A bold letter, cropped to its ink: L, 255 is ink. The font is the one that Pillow brings."""
    font, stroke = ImageFont.load_default(_GLYPH_SIZE), round(_STROKE * _GLYPH_SIZE)
    left, top, right, bottom = (round(x) for x in font.getbbox(letter, stroke_width=stroke))
    picture = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(picture).text((-left, -top), letter, fill=255, font=font, stroke_width=stroke)
    return picture.crop(picture.getbbox())


def print_correlation(prediction: Image.Image, truth: Image.Image, place: Print, shift: float = SHIFT) -> float:
    """Normalised correlation of the two patterns within the print's box, at the best shift; 0 if there is no pattern.

    Args:
        prediction: RGB, of any size; it is fitted to the truth's.
        truth: RGB.
        place: Where the truth has the print.
        shift: Largest shift along each axis, as a share of the print's width.

    Returns:
        In [0, 1]. A negative correlation counts as 0: an inverted print is not the same.
    """
    patterns = _Patterns(prediction, truth, place, shift)
    return float(np.clip((patterns.predicted(place.box) @ patterns.true(place.box)).max(), 0, 1))


def letters_right(prediction: Image.Image, truth: Image.Image, place: Print, shift: float = SHIFT) -> float:
    """Share of the letters whose place looks more like their own glyph than like any other letter's.

    Arguments are those of `print_correlation`.

    Raises:
        ValueError: The print has no letters.
    """
    if not place.letters:
        raise ValueError("the print has no letters; print_correlation compares logos.")
    patterns = _Patterns(prediction, truth, place, shift)
    right = 0
    for letter, box in place.letters:
        window, templates = _templates(box)
        own = float(patterns.true(window) @ templates[ALPHABET.index(letter)])
        found = patterns.predicted(window) @ templates.T * (1 if own >= 0 else -1)  # (shifts, letters)
        best = found.max(axis=0)
        right += bool(best.argmax() == ALPHABET.index(letter) and best.max() >= LEAST_CORRELATION)
    return right / len(place.letters)


class _Patterns:
    """Both pictures along the line between the print's colours, on which the truth's print differs most."""

    def __init__(self, prediction: Image.Image, truth: Image.Image, place: Print, shift: float):
        fitted = fit_picture(prediction, *truth.size) if prediction.size != truth.size else prediction
        pixels = [np.asarray(picture.convert("RGB"), np.float64) for picture in (fitted, truth)]
        inside = _cut(pixels[1], place.box).reshape(-1, 3)
        _, _, axes = np.linalg.svd(inside - inside.mean(axis=0), full_matrices=False)
        self._predicted, self._true = (picture @ axes[0] for picture in pixels)
        self.reach = round(shift * (place.box[2] - place.box[0]))

    def true(self, box: Box) -> np.ndarray:
        """(n,) of length 1."""
        return _normalised(_cut(self._true, box).reshape(1, -1))[0]

    def predicted(self, box: Box) -> np.ndarray:
        """(shifts, n), each of length 1, or 0 where there is no pattern."""
        steps = range(-self.reach, self.reach + 1)
        patches = [_cut(self._predicted, box, x, y).ravel() for y in steps for x in steps]
        return _normalised(np.stack(patches))


def _cut(picture: np.ndarray, box: Box, x: int = 0, y: int = 0) -> np.ndarray:
    """The pixels in a shifted box; beyond the picture its border is repeated."""
    left, top, right, bottom = (round(edge) for edge in box)
    rows = np.clip(np.arange(top, bottom) + y, 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(left, right) + x, 0, picture.shape[1] - 1)
    return picture[np.ix_(rows, columns)]


def _normalised(patches: np.ndarray) -> np.ndarray:
    centred = patches - patches.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    flat = length < 1.0 * np.sqrt(patches.shape[-1])  # less than one grey level of 255: noise
    return np.where(flat, 0.0, centred / np.maximum(length, 1e-9))


def _templates(box: Box) -> tuple[Box, np.ndarray]:
    """The window around a letter, and what it shows for each letter of the alphabet: (26, n)."""
    left, top, right, bottom = (round(edge) for edge in box)
    height, margin = bottom - top, max(1, round(_MARGIN * (bottom - top)))
    width = right - left
    rows = []
    for letter in ALPHABET:
        drawn = glyph(letter)
        own = max(1, round(drawn.width * height / drawn.height))
        picture = Image.new("L", (width + 2 * margin, height + 2 * margin))
        picture.paste(drawn.resize((own, height), Image.Resampling.BOX), (margin + (width - own) // 2, margin))
        rows.append(np.asarray(picture, np.float64).ravel())
    return (left - margin, top - margin, right + margin, bottom + margin), _normalised(np.stack(rows))


def read_prints(root: Path, phase: str) -> dict[str, Print]:
    """The prints of a data set that `python -m drawn_people` wrote, by item id; empty for any other data set.

    Raises:
        ValueError: A line of `truth/<phase>_<category>.jsonl` is damaged.
    """
    found: dict[str, Print] = {}
    for path in sorted((root / "truth").glob(f"{phase}_*.jsonl")):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                facts = json.loads(line)
                if "print" in facts:
                    letters = tuple((letter, tuple(box)) for letter, box in facts["print"]["letters"])
                    found[facts["id"]] = Print(tuple(facts["print"]["box"]), letters)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number} is damaged; draw the people again.") from error
    return found

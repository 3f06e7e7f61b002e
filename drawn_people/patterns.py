"""Patterns of cloth in its own coordinates, so that one function draws worn and flat garments.

Coordinates (U, V) are in figure units: U sideways from the panel's middle, V down from the neck (or the waist, or
along the sleeve). Every edge is softened over one output pixel (`pixel`), so that no size aliases.
"""

from dataclasses import dataclass, field

import numpy as np

from drawn_people.lettering import letters_layer
from drawn_people.motifs import MOTIFS, chest_graphic, soft
from drawn_people.palettes import contrasting, jitter_hue, lightness, shade

PATTERNS = ("plain", "horizontal", "vertical", "check", "dots", "print")
PLAIN_SHARE = 0.4  # of garments; the other patterns share the rest evenly


@dataclass
class Texture:
    """One cloth.

    Attributes:
        colors: Ground colour first, float32 (3,) each.
        period: Period of the pattern, in figure units.
        angle: Angle of the pattern, in radians.
        share: Share of the second colour along the period.
        graphic: A single print on the chest in place of a repeat; `center` is its place and `size` its radius.
        word: The print's letters, if it is a word, whose half width is `size`.
    """

    pattern: str
    colors: list[np.ndarray]
    period: float = 10.0
    angle: float = 0.0
    share: float = 0.5
    style: int = 0
    motif: str = "star"
    graphic: bool = False
    center: tuple[float, float] = (0.0, 30.0)
    size: float = 10.0
    offset: tuple[float, float] = field(default=(0.0, 0.0))
    word: str = ""

    def __call__(self, u: np.ndarray, v: np.ndarray, pixel: float, main: bool = True) -> np.ndarray:
        """RGB float32 (n, 3) at cloth coordinates (n,), (n,); `main` is false off the front, where no graphic is."""
        base = np.broadcast_to(self.colors[0], (*u.shape, 3))
        if self.pattern == "plain" or (self.graphic and not main):
            return base
        if self.graphic:
            u, v = (u - self.center[0]) / self.size, (v - self.center[1]) / self.size
            if self.word:
                return _over(base, [letters_layer(self.word, u, v, pixel / self.size)], self.colors)
            layers = chest_graphic(self.motif, self.style, u, v, pixel / self.size)
            return _over(base, layers, self.colors)
        u, v = u + self.offset[0], v + self.offset[1]
        if self.angle:
            c, s = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
            u, v = c * u - s * v, s * u + c * v
        return getattr(self, f"_{self.pattern}")(base, u, v, pixel)

    def _horizontal(self, base, u, v, pixel):
        return self._stripes(base, v, pixel)

    def _vertical(self, base, u, v, pixel):
        return self._stripes(base, u, pixel)

    def _stripes(self, base, x, pixel):
        layers = [band(x, self.period, self.share, pixel)]
        if self.style == 1:  # a thin line beside the broad one
            layers.append(band(x - self.period * (0.5 + self.share * 0.5) / 1.0, self.period, 0.16, pixel))
        elif self.style == 2:  # every other stripe in the third colour
            layers.append(band(x - self.period, 2 * self.period, 0.5 * self.share, pixel))
        return _over(base, layers, self.colors)

    def _check(self, base, u, v, pixel):
        a, b = band(u, self.period, self.share, pixel)[:, None], band(v, self.period, self.share, pixel)[:, None]
        ground, second = self.colors[:2]
        if self.style == 0:  # gingham
            return ground + (second - ground) * (0.5 * (a + b))
        if self.style == 1:  # chessboard
            return ground + (second - ground) * (a * b + (1 - a) * (1 - b))
        if self.style == 2:  # windowpane
            return ground + (second - ground) * np.maximum(a, b)
        plaid = ground + (second - ground) * (0.5 * (a + b))  # tartan: gingham under thin lines
        thin = np.maximum(*(band(x - self.period / 2, self.period, 0.14, pixel) for x in (u, v)))[:, None]
        return plaid + (self.colors[2] - plaid) * 0.85 * thin

    def _dots(self, base, u, v, pixel):
        x, y, i, j = _cells(u, v, self.period)
        radius = self.period * 0.5 * self.share
        layer = soft(radius - np.hypot(x, y), pixel)
        colors = _choose(self.colors[1:], i, j) if self.style == 1 else self.colors[1]
        return base + (colors - base) * layer[:, None]

    def _print(self, base, u, v, pixel):
        x, y, i, j = _cells(u, v, self.period)
        turn = (_hash(i, j) * 6.28).astype(np.float32) if self.style else np.float32(0)
        c, s = np.cos(turn), np.sin(turn)
        size = self.period * 0.40
        layers = MOTIFS[self.motif]((c * x - s * y) / size, (s * x + c * y) / size, pixel / size)
        return _over(base, layers, self.colors)


def draw_texture(
    rng: np.random.Generator, color: np.ndarray, unit: float, graphic: float, size: float, plain: float
) -> Texture:
    """A random cloth.

    Args:
        color: Ground colour.
        unit: One pixel of the 192x256 photo in figure units: periods are at least 6 of them.
        graphic: Chance that a print is a single one on the chest.
        size: Half width of the garment, which bounds the scale.
        plain: Share of plain cloth.
    """
    pattern = str(rng.choice(PATTERNS[1:])) if rng.random() >= plain else "plain"
    second = contrasting(rng, color, 95)
    if rng.random() < 0.45:  # with white, cream or a dark neutral, as cloth mostly is
        light = lightness(color) < 130
        second = np.array([(236, 234, 229), (232, 222, 200)] if light else [(34, 44, 78), (44, 44, 50)], np.float32)[
            rng.integers(2)
        ]
    third = contrasting(rng, (color + second) / 2, 60)
    if rng.random() < 0.3:  # tone in tone, still easy to distinguish
        second = jitter_hue(
            rng, shade(color, 0.58 if lightness(color) > 95 else 1.0) + (0 if lightness(color) > 95 else 75), 0.03
        )
    texture = Texture(pattern, [color, np.clip(second, 8, 240).astype(np.float32), third])
    if pattern == "plain":
        return texture
    low, high = {"print": (12.0, 24.0), "dots": (7.5, 17.0), "check": (8.0, 20.0)}.get(pattern, (7.0, 18.0))
    texture.period = float(min(unit * low * (high / low) ** rng.random(), max(0.95 * size, unit * low)))
    texture.offset = tuple(rng.uniform(0, texture.period, 2).tolist())
    texture.style = int(rng.integers({"horizontal": 3, "vertical": 3, "check": 4, "dots": 2, "print": 2}[pattern]))
    if pattern in ("horizontal", "vertical"):
        texture.share = float(rng.uniform(0.3, 0.62)) if texture.style == 0 else float(rng.uniform(0.34, 0.5))
    elif pattern == "check":
        texture.share = (0.5, 0.5, float(rng.uniform(0.16, 0.24)), 0.5)[texture.style]
        texture.angle = float(np.pi / 4) if texture.style in (1, 2) and rng.random() < 0.3 else 0.0
    elif pattern == "dots":
        texture.share = float(rng.uniform(0.42, 0.68))
        texture.angle = float(rng.choice([0.0, np.pi / 4, rng.uniform(-0.2, 0.2)]))
    else:
        texture.motif = str(rng.choice(list(MOTIFS)))
        texture.graphic = bool(rng.random() < graphic)
        texture.size = float(size * rng.uniform(0.42, 0.68))
    return texture


def band(x: np.ndarray, period: float, share: float, pixel: float) -> np.ndarray:
    """1 on stripes centred at multiples of the period, `share` of it wide, 0 between, softened over a pixel."""
    distance = np.abs(x / period - np.round(x / period)) * period
    return soft(0.5 * share * period - distance, pixel)


def _over(base: np.ndarray, layers: list[np.ndarray], colors: list[np.ndarray]) -> np.ndarray:
    for layer, color in zip(layers, colors[1:], strict=False):
        base = base + (color - base) * layer[:, None]
    return base


def _cells(u: np.ndarray, v: np.ndarray, period: float) -> tuple[np.ndarray, ...]:
    """Coordinates within brick-like cells, and the cells' numbers."""
    rows = period * 0.9
    j = np.floor(v / rows)
    shifted = u + period * 0.5 * (j % 2)
    i = np.floor(shifted / period)
    return shifted - (i + 0.5) * period, v - (j + 0.5) * rows, i, j


def _hash(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    return (i * 0.754877666 + j * 0.569840291 + 0.5) % 1.0


def _choose(colors: list[np.ndarray], i: np.ndarray, j: np.ndarray) -> np.ndarray:
    return np.stack(colors)[(_hash(i, j) * len(colors)).astype(int) % len(colors)]

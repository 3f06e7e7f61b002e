"""Small pictures for prints: each motif gives layers of coverage, drawn over each other in the cloth's colours.

A motif fills the unit disc; coordinates are in its radius, y points down, and edges are softened over one pixel.
"""

import numpy as np

Layers = list[np.ndarray]


def soft(inside: np.ndarray, pixel: float) -> np.ndarray:
    """Coverage in [0, 1] of points at a distance inside of an edge, softened over one pixel."""
    return np.clip(inside / pixel + 0.5, 0, 1)


def _polar(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.hypot(x, y), np.arctan2(x, -y)


def star(x: np.ndarray, y: np.ndarray, pixel: float) -> Layers:
    r, angle = _polar(x, y)
    sector = np.pi / 5
    folded = np.abs((angle + sector) % (2 * sector) - sector)
    # The straight edge from the tip (radius 1) to the notch (radius 0.42): a line in polar form.
    tip, notch = np.array([0.0, 1.0]), 0.45 * np.array([np.sin(sector), np.cos(sector)])
    normal = np.array([tip[1] - notch[1], notch[0] - tip[0]])
    normal /= np.linalg.norm(normal)
    return [soft(normal @ tip - r * (np.sin(folded) * normal[0] + np.cos(folded) * normal[1]), pixel)]


def flower(x: np.ndarray, y: np.ndarray, pixel: float) -> Layers:
    r, angle = _polar(x, y)
    return [soft(0.72 + 0.26 * np.cos(5 * angle) - r, pixel), soft(0.3 - r, pixel)]


def leaf(x: np.ndarray, y: np.ndarray, pixel: float) -> Layers:
    blade = np.minimum(1.25 - np.hypot(x - 0.75, y), 1.25 - np.hypot(x + 0.75, y))
    vein = np.minimum(0.06 - np.abs(x), 0.7 - np.abs(y))
    return [soft(blade, pixel), soft(vein, pixel) * 0.8]


def heart(x: np.ndarray, y: np.ndarray, pixel: float) -> Layers:
    ax, y = np.abs(x), y + 0.1
    lobes = 0.5 - np.hypot(ax - 0.42, y + 0.3)
    wedge = np.minimum((0.92 - y - ax * 1.16) / 1.53, y + 0.3)
    return [soft(np.maximum(lobes, wedge), pixel)]


def blob(x: np.ndarray, y: np.ndarray, pixel: float) -> Layers:
    r, angle = _polar(x, y)
    return [soft(0.72 + 0.16 * np.cos(2 * angle + 0.6) + 0.12 * np.sin(3 * angle) - r, pixel)]


def moon(x: np.ndarray, y: np.ndarray, pixel: float) -> Layers:
    return [soft(np.minimum(0.92 - np.hypot(x, y), np.hypot(x - 0.42, y + 0.18) - 0.72), pixel)]


def diamond(x: np.ndarray, y: np.ndarray, pixel: float) -> Layers:
    d = np.abs(x) * 1.35 + np.abs(y)
    return [soft((0.95 - d) / 1.6, pixel), soft((0.42 - d) / 1.6, pixel)]


def cherry(x: np.ndarray, y: np.ndarray, pixel: float) -> Layers:
    fruit = 0.4 - np.minimum(np.hypot(x - 0.45, y - 0.42), np.hypot(x + 0.45, y - 0.42))
    stem = 0.08 - np.abs(np.abs(x) - 0.45 * np.clip((y + 0.75) / 1.1, 0, 1))
    return [soft(fruit, pixel), soft(np.minimum(stem, np.minimum(0.2 - y, y + 0.8)), pixel)]


def sun(x: np.ndarray, y: np.ndarray, pixel: float) -> Layers:
    r, angle = _polar(x, y)
    rays = np.minimum(0.26 * np.cos(9 * angle) * r, np.minimum(r - 0.62, 0.98 - r))
    return [soft(np.maximum(0.5 - r, rays), pixel)]


MOTIFS = {
    "star": star,
    "flower": flower,
    "leaf": leaf,
    "heart": heart,
    "blob": blob,
    "moon": moon,
    "diamond": diamond,
    "cherry": cherry,
    "sun": sun,
}


def chest_graphic(motif: str, style: int, x: np.ndarray, y: np.ndarray, pixel: float) -> Layers:
    """One large print: a motif by itself, or on a disc over a line of letter-like bars."""
    if style == 0:
        return MOTIFS[motif](x, y, pixel)
    disc = soft(0.78 - np.hypot(x, y + 0.2), pixel)
    inner = MOTIFS[motif](x / 0.56, (y + 0.2) / 0.56, pixel / 0.56)[0]
    line = np.minimum(0.13 - np.abs(y - 0.86), 0.98 - np.abs(x))
    gaps = np.abs((x * 2.6 + 0.5) % 1.0 - 0.5) - 0.12
    return [np.maximum(disc, soft(np.minimum(line, gaps / 2.6), pixel)), inner]

"""Colours that look well on cloth, skin, hair and walls, RGB in [0, 255]."""

import colorsys

import numpy as np

SKIN = [(246, 214, 190), (236, 192, 160), (222, 172, 136), (198, 142, 106), (164, 110, 78), (126, 82, 58), (92, 60, 44)]
HAIR = [
    (34, 28, 28), (58, 40, 30), (84, 54, 36), (120, 78, 46), (160, 112, 62),
    (206, 166, 104), (150, 66, 38), (178, 92, 52), (150, 148, 150), (206, 202, 196), (96, 40, 44),
]  # fmt: skip
CLOTH = [
    (236, 234, 229), (230, 222, 204), (214, 196, 166), (178, 150, 118), (128, 96, 72), (84, 62, 52),  # whites to browns
    (44, 44, 50), (72, 76, 84), (122, 126, 132), (176, 180, 184),  # greys
    (30, 42, 82), (44, 78, 140), (74, 124, 190), (140, 182, 222), (52, 102, 118), (26, 128, 134), (120, 190, 186),
    (38, 84, 58), (78, 132, 78), (132, 150, 84), (168, 194, 132), (110, 110, 62),  # greens
    (226, 184, 64), (240, 214, 120), (214, 140, 42), (226, 118, 70), (240, 160, 130), (196, 84, 56),  # yellow, orange
    (196, 46, 54), (142, 34, 50), (228, 98, 110), (240, 164, 178), (214, 120, 160), (180, 58, 112),  # reds, pinks
    (96, 60, 120), (146, 116, 178), (196, 176, 218),  # purples
]  # fmt: skip
DENIM = [(52, 72, 108), (78, 106, 148), (112, 142, 180), (150, 176, 204), (38, 46, 66), (58, 60, 66), (32, 50, 92)]
WALLS = [
    (238, 236, 232), (226, 222, 214), (216, 220, 224), (232, 220, 206), (206, 214, 206), (222, 206, 200),
    (196, 206, 216), (190, 186, 180), (240, 228, 214), (176, 190, 184), (158, 166, 178), (214, 198, 178),
]  # fmt: skip
LEATHER = [(40, 34, 34), (92, 58, 38), (146, 98, 60), (196, 156, 112), (120, 36, 40), (226, 216, 200), (60, 66, 80)]


def pick(rng: np.random.Generator, colors: list[tuple], spread: float = 6.0) -> np.ndarray:
    """One of the colours, a little shifted: float32 (3,), at most 240 so that it shows on white."""
    color = np.array(colors[rng.integers(len(colors))], np.float32) + rng.normal(0, spread, 3)
    return np.clip(color, 8, 240).astype(np.float32)


def jitter_hue(rng: np.random.Generator, color: np.ndarray, amount: float) -> np.ndarray:
    """The colour with its hue turned by up to `amount` (1 is the whole circle)."""
    h, s, v = colorsys.rgb_to_hsv(*(np.asarray(color, float) / 255))
    turned = colorsys.hsv_to_rgb((h + rng.uniform(-amount, amount)) % 1, s, v)
    return np.clip(np.array(turned, np.float32) * 255, 8, 240)


def lightness(color: np.ndarray) -> float:
    """Rough lightness in [0, 255]."""
    return float(np.dot(color, (0.299, 0.587, 0.114)))


def contrasting(rng: np.random.Generator, color: np.ndarray, least: float = 70.0) -> np.ndarray:
    """A cloth colour that stands out against the given one, by at least `least` in RGB distance, partly lightness."""
    for _ in range(40):
        other = pick(rng, CLOTH)
        if np.linalg.norm(other - color) >= least and abs(lightness(other) - lightness(color)) >= 0.45 * least:
            return other
    return np.array((236, 234, 229) if lightness(color) < 128 else (38, 40, 52), np.float32)


def shade(color: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(np.asarray(color, np.float32) * factor, 0, 255)

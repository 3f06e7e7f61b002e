"""What the frame of a product picture shows: the background's colour at every pixel, and how noisy it is."""

from dataclasses import dataclass

import numpy as np

FRAME_SHARE = 0.02  # width of the frame that is looked at, of the shorter side
_NEAR = 12  # levels; pixels of the frame further from its commonest colour may belong to a garment that touches it
_BIN = 4  # levels that count as one colour
_FIT = 4  # deviations; further pixels are left out of the plane that is fitted
_CORNER = 0.02  # share of the sides; the corners hold the seams of a VAE, and are left out


@dataclass(frozen=True, eq=False)
class Background:
    """A background of one colour, which may grow lighter or darker evenly over the picture.

    Attributes:
        colours: (H, W, 3) float32 in [0, 255].
        noise: Standard deviation around them, in levels.
        share: Share of the frame that shows it, in [0, 1]. Below one half it is a guess.
    """

    colours: np.ndarray
    noise: float
    share: float

    @property
    def mean(self) -> tuple[int, int, int]:
        """The mean colour, RGB in [0, 255]."""
        return tuple(int(level) for level in self.colours.reshape(-1, 3).mean(0).round())


def find_background(pixels: np.ndarray) -> Background:
    """Fits a plane to the colours of the picture's frame, without the pixels of a garment that touches it.

    Args:
        pixels: (H, W, 3) in [0, 255].
    """
    height, width = pixels.shape[:2]
    y, x = np.nonzero(_frame(height, width))
    colours = pixels[y, x].astype(np.float64)  # (n, 3)
    places = np.stack([np.ones(len(x)), x / max(width - 1, 1) - 0.5, y / max(height - 1, 1) - 0.5], axis=1)
    middle = _commonest(colours)
    inside = np.abs(colours - middle).max(1) <= _NEAR
    plane = np.stack([middle, np.zeros(3), np.zeros(3)])
    for _ in range(4):
        if np.linalg.matrix_rank(places[inside]) == 3:
            plane = np.linalg.lstsq(places[inside], colours[inside], rcond=None)[0]  # (3, 3)
        off = np.abs(colours - places @ plane).max(1)
        inside = off <= max(_FIT * 1.4826 * np.median(off[inside]), 1.5)
    rest = colours[inside] - places[inside] @ plane
    noise = float(rest.std()) if len(rest) else 0.0
    down, right = np.linspace(-0.5, 0.5, height)[:, None, None], np.linspace(-0.5, 0.5, width)[None, :, None]
    field = (plane[0] + right * plane[1] + down * plane[2]).clip(0, 255)
    return Background(field.astype(np.float32), noise, float(inside.mean()))


def _commonest(colours: np.ndarray) -> np.ndarray:
    """(3,): of (n, 3), the colour that most share. Cloth is shaded, so a background wins even in the smaller part."""
    candidates = []
    for offset in (0, _BIN / 2):  # a colour at the border of two bins is in the middle of one of the others
        bins = ((colours + offset) // _BIN).astype(np.int64) @ np.array([128**2, 128, 1])
        _, which, counts = np.unique(bins, return_inverse=True, return_counts=True)
        candidates.append((counts.max(), np.median(colours[which == counts.argmax()], axis=0)))
    return max(candidates, key=lambda found: found[0])[1]


def _frame(height: int, width: int) -> np.ndarray:
    """(H, W) bool: the pixels at the edges, without the corners."""
    band = max(2, round(FRAME_SHARE * min(height, width)))
    frame = np.ones((height, width), bool)
    frame[band:-band, band:-band] = False
    down, right = (max(1, round(_CORNER * side)) for side in (height, width))
    for rows in (slice(None, down), slice(-down, None)):
        for columns in (slice(None, right), slice(-right, None)):
            frame[rows, columns] = False
    return frame

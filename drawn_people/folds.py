"""Soft folds of worn cloth: ridges along short lines, which darken one side, lighten the other and bend the pattern.

Cloth close to the body lies smooth, loose cloth folds deep: the amount of the folds follows the garment's ease.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Folds:
    """Ridges from a to b, each with a width and a strength; coordinates are those of the panel.

    Attributes:
        lines: (n, 6): ax, ay, bx, by, width, strength.
    """

    lines: np.ndarray

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Slope of the cloth in about [-1, 1], (n,): positive faces the light."""
        total = np.zeros(x.shape, np.float32)
        for ax, ay, bx, by, width, strength in self.lines.astype(np.float32).tolist():
            dx, dy = bx - ax, by - ay
            length = (dx * dx + dy * dy) ** 0.5 + 1e-6
            tx, ty = dx / length, dy / length
            along = ((x - ax) * tx + (y - ay) * ty) / length
            near = (along > -0.3) & (along < 1.3)
            if not near.any():
                continue
            across = ((y[near] - ay) * tx - (x[near] - ax) * ty) / width
            fade = np.clip(1.69 - (2 * along[near] - 1) ** 2 * 0.66, 0, 1) * np.clip(
                1 - (2 * along[near] - 1) ** 2 / 2.56, 0, 1
            )
            total[near] += strength * across * np.exp(0.5 - 0.5 * across * across) * fade
        return total


def torso_folds(rng: np.random.Generator, half_width: float, top: float, bottom: float, amount: float) -> Folds:
    """From the armpits inward and down, and across the waist."""
    lines = []
    for _ in range(int(rng.integers(3, 6))):
        side = rng.choice([-1, 1])
        y = rng.uniform(top + 10, max(bottom - 6, top + 14))
        reach = rng.uniform(0.4, 1.0) * half_width
        lines.append(
            (side * half_width, y, side * (half_width - reach), y + rng.uniform(-4, 12), rng.uniform(1.3, 3.0),
             amount * rng.uniform(0.4, 1.0) * rng.choice([-1, 1]))
        )  # fmt: skip
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(-0.7, 0.7) * half_width, rng.uniform(top + 18, max(bottom - 12, top + 20))
        lines.append(
            (x, y, x + rng.normal(0, 3), y + rng.uniform(12, 24), rng.uniform(1.6, 3.2),
             amount * rng.uniform(0.3, 0.8) * rng.choice([-1, 1]))
        )  # fmt: skip
    return Folds(np.array(lines))


def hanging_folds(rng: np.random.Generator, half_width: float, top: float, bottom: float, amount: float) -> Folds:
    """Long folds of a skirt, spreading downward."""
    lines = []
    count = int(rng.integers(5, 9))
    for place in np.linspace(-0.85, 0.85, count) + rng.normal(0, 0.06, count):
        start = rng.uniform(top, top + 0.4 * (bottom - top))
        lines.append(
            (place * half_width * 0.6, start, place * half_width * 1.15, bottom + 6, rng.uniform(1.6, 3.6),
             amount * rng.uniform(0.45, 1.0) * rng.choice([-1, 1]))
        )  # fmt: skip
    return Folds(np.array(lines))


def limb_folds(rng: np.random.Generator, half_width: float, length: float, bend_at: float, amount: float) -> Folds:
    """Across a sleeve or trouser leg, crowding at the bend and at the end; coordinates across and along."""
    places = [*(bend_at + rng.normal(0, 5, 3)), *(length - rng.uniform(3, 16, 2)), *rng.uniform(0, length, 2)]
    lines = []
    for place in places:
        if not 2 < place < length - 1:
            continue
        side = rng.choice([-1, 1])
        lines.append(
            (side * half_width, place, -side * half_width * rng.uniform(-0.4, 0.8), place + rng.uniform(-5, 6),
             rng.uniform(1.0, 2.2), amount * rng.uniform(0.4, 1.0) * rng.choice([-1, 1]))
        )  # fmt: skip
    return Folds(np.array(lines).reshape(-1, 6))

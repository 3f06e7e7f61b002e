"""Bent tubes: arms, legs, sleeves and trouser legs, with coordinates along and across them."""

from dataclasses import dataclass

import numpy as np

from drawn_people.canvas import ribbon, spline


@dataclass
class Limb:
    """A tube around a smooth spine.

    Attributes:
        spine: (n, 2), figure coordinates.
        along: (n,), distance from the start.
        half_width: (n,).
    """

    spine: np.ndarray
    along: np.ndarray
    half_width: np.ndarray

    @classmethod
    def through(cls, joints: np.ndarray, at: list[float], half_widths: list[float]) -> "Limb":
        """A tube through joints with half widths given at fractions of its length."""
        joints = np.asarray(joints, np.float64)
        spine = spline(_round_corners(joints), closed=False, steps=8)
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(spine, axis=0), axis=1))])
        return cls(spine, along, _smooth_interp(along / along[-1], at, half_widths))

    @property
    def length(self) -> float:
        return float(self.along[-1])

    def cut(self, start: float, end: float) -> "Limb":
        """The piece between two distances from the start."""
        inner = self.along[(self.along > start + 1e-6) & (self.along < end - 1e-6)]
        along = np.concatenate([[start], inner, [end]])
        spine = np.stack([np.interp(along, self.along, self.spine[:, i]) for i in (0, 1)], axis=1)
        return Limb(spine, along - start, np.interp(along, self.along, self.half_width))

    def shape(self) -> list[np.ndarray]:
        return ribbon(self.spine, self.half_width)

    def project(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of points (n,), (n,): signed distance from the spine, distance along it, half width there; each (n,)."""
        best = np.full(x.shape, np.inf, np.float32)
        along = np.zeros(x.shape, np.float32)
        across = np.zeros(x.shape, np.float32)
        steps = np.diff(self.spine, axis=0)
        last = len(steps) - 1
        for i, (start, step) in enumerate(zip(self.spine[:-1].tolist(), steps.tolist(), strict=True)):
            size = (step[0] ** 2 + step[1] ** 2) ** 0.5 + 1e-9
            tx, ty = step[0] / size, step[1] / size
            dx, dy = x - np.float32(start[0]), y - np.float32(start[1])
            t = dx * np.float32(tx) + dy * np.float32(ty)
            side = dx * np.float32(-ty) + dy * np.float32(tx)
            beyond = t - np.clip(t, 0, size)
            distance = side * side + beyond * beyond
            nearer = distance < best
            best[nearer] = distance[nearer]
            across[nearer] = side[nearer]
            reach = np.clip(t, -1e9 if i == 0 else 0, 1e9 if i == last else size)
            along[nearer] = (self.along[i] + reach)[nearer]
        return across, along, np.interp(along, self.along, self.half_width).astype(np.float32)


def _round_corners(joints: np.ndarray) -> np.ndarray:
    """Two points beside each inner joint in place of it, so that the curve turns there without overshooting."""
    points = [joints[0]]
    for before, joint, after in zip(joints[:-2], joints[1:-1], joints[2:], strict=True):
        points += [joint + 0.22 * (before - joint), joint + 0.22 * (after - joint)]
    points.append(joints[-1])
    return np.array(points)


def _smooth_interp(t: np.ndarray, at: list[float], values: list[float]) -> np.ndarray:
    """Interpolates with a cosine between knots: no kinks, no overshoot."""
    at, values = np.asarray(at, np.float64), np.asarray(values, np.float64)
    i = np.clip(np.searchsorted(at, t, side="right") - 1, 0, len(at) - 2)
    w = np.clip((t - at[i]) / (at[i + 1] - at[i]), 0, 1)
    w = 0.5 * w + 0.5 * (w * w * (3 - 2 * w))
    return values[i] * (1 - w) + values[i + 1] * w

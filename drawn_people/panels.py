"""Panels of cloth on a body: a vertical tube around the torso and hips, and tubes along arms and legs.

A panel has an outline and maps pixels to the cloth's own coordinates. Worn and flat garments differ only in the body
that they are on (`Body.on_mannequin`), so the product picture follows from the photo.
"""

from dataclasses import dataclass, replace

import numpy as np

from drawn_people.body import Body
from drawn_people.canvas import Paint, spline
from drawn_people.folds import Folds
from drawn_people.limbs import Limb
from drawn_people.patterns import Texture


@dataclass
class Cloth:
    """The material of one garment: texture, and `pixel`, the size of an output pixel in figure units."""

    texture: Texture
    pixel: float

    def plain(self, color: np.ndarray | None = None) -> "Cloth":
        """The same cloth without its pattern, in its ground colour or another."""
        colors = self.texture.colors if color is None else [color]
        return replace(self, texture=replace(self.texture, pattern="plain", colors=colors))

    def colors(self, u: np.ndarray, v: np.ndarray, light: np.ndarray, main: bool = True) -> np.ndarray:
        """The colours of points on the cloth.

        Args:
            u, v: The points, (n,), in figure units.
            light: (n,), a factor of the colour; 1 keeps it.
            main: Whether the panel is the garment's front.

        Returns:
            (n, 3), RGB in [0, 255].
        """
        color = self.texture(u, v, self.pixel, main)
        lit = color * np.minimum(light, 1.0)[:, None]
        return lit + (250 - lit) * np.clip(light - 1.0, 0, 0.6)[:, None]


@dataclass
class Tube:
    """A panel around the upright torso, given by half widths at heights.

    Attributes:
        heights, half_widths: Dense profile (n,), upright torso coordinates.
        drape: Depth of vertical waves at the hem, 0 to 1, beginning at `drape_from`.
        waves: Number and phase of them across the front.
        pleats: Number of sharp pleats across the front.
    """

    body: Body
    heights: np.ndarray
    half_widths: np.ndarray
    folds: Folds
    drape: float = 0.0
    drape_from: float = 60.0
    waves: tuple[float, float] = (5.0, 0.0)
    pleats: int = 0
    tucked: bool = False

    def tuck(self, half_width: float) -> None:
        """Gathers the lower end to a half width, as a waistband does."""
        near = np.clip((self.heights - self.heights[-1] + 9) / 7, 0, 1) ** 2
        self.half_widths = self.half_widths + near * (np.minimum(self.half_widths, half_width) - self.half_widths)
        self.tucked = True

    def half_width(self, y: np.ndarray | float) -> np.ndarray:
        return np.interp(y, self.heights, self.half_widths)

    def turned(self, points: np.ndarray) -> np.ndarray:
        """Points on the cloth (upright) -> where they are seen in the figure: turned with the torso, then bent."""
        p = np.array(points, np.float64)
        half = self.half_width(p[:, 1])
        u = np.clip(p[:, 0] / half, -1, 1)
        p[:, 0] += 0.8 * self.body.yaw * half * (1 - u * u)
        return self.body.frame.to_world(p)

    def cloth_coordinates(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixels -> U, V on the cloth and the place across the panel, u in [-1, 1]; each (n,)."""
        x, y = self.body.frame.to_local(x, y)
        half = self.half_width(y)
        u = np.clip(x / half, -1.15, 1.15)
        seen = u
        if not self.body.flat:
            turned = u - 0.8 * self.body.yaw * (1 - u * u)
            seen = turned * (1 + 0.16 * turned * turned)
            y = y - 1.6 * (1 - u * u)
        return (seen * half).astype(np.float32), y.astype(np.float32), u.astype(np.float32)

    def paint(self, cloth: Cloth, factor: float = 1.0) -> Paint:
        """The colour function of the panel."""

        def colors(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            u, v, across = self.cloth_coordinates(x, y)
            slope = self.folds(u, v)
            flat = self.body.flat
            light = 1 + (0.05 if flat else 0.12) * self.body.light * across
            light -= (0.10 if flat else 0.24) * across**4
            strength = 0.06 if flat else 0.22
            light += strength * slope
            if self.drape or self.pleats:
                light += self._drape_light(across, v) * (0.5 if flat else 1.0)
            bent = 0.0 if flat else 1.3
            return cloth.colors(u + 0.6 * bent * slope, v + bent * slope, factor * light)

        return colors

    def _drape_light(self, across: np.ndarray, v: np.ndarray) -> np.ndarray:
        down = np.clip((v - self.drape_from) / max(self.heights[-1] - self.drape_from, 1), 0, 1)
        if self.pleats:
            phase = (across * 0.5 + 0.5) * self.pleats
            saw = phase % 1.0
            return (0.14 * (saw - 0.5) - 0.2 * (saw > 0.86)) * np.clip(0.5 + down, 0, 1)
        count, phase = self.waves
        wave = np.sin(count * np.pi * across + phase + 1.3 * np.sin(2.1 * across + phase))
        return 0.13 * self.drape * down * wave

    def hem(self, curve: float) -> np.ndarray:
        """The lower edge from the right side (x > 0) to the left, upright: (25, 2)."""
        bottom = self.heights[-1]
        u = np.linspace(1, -1, 25)
        half = self.half_widths[-1]
        y = bottom - curve * np.abs(u) ** 2.6 + (0.4 if self.body.flat else 1.8) * (1 - u * u)
        if self.drape > 0.25:
            count, phase = self.waves
            y = y + (0.5 if self.body.flat else 1.0) * 1.4 * self.drape * np.cos(count * np.pi * u + phase)
        return np.stack([u * half, y], axis=1)


def profile(knots: list[tuple[float, float]], bottom: float) -> tuple[np.ndarray, np.ndarray]:
    """A smooth profile through (height, half width) knots, ending at `bottom`: heights (n,), half widths (n,)."""
    curve = spline(np.array(sorted(knots)), closed=False, steps=10)
    heights = np.linspace(curve[0, 0], bottom, 48)
    return heights, np.interp(heights, np.maximum.accumulate(curve[:, 0]), curve[:, 1])


@dataclass
class Sleeve:
    """A panel along an arm or a leg: U across it, V along it, shifted by `shift` so that patterns meet the front's.

    Attributes:
        crease: Ironed down its middle. faded: Paler along its middle, as denim is.
    """

    body: Body
    limb: Limb
    folds: Folds
    shift: tuple[float, float] = (0.0, 0.0)
    crease: bool = False
    faded: bool = False

    def paint(self, cloth: Cloth, factor: float = 1.0) -> Paint:
        def colors(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            across, along, half = self.limb.project(x, y)
            across = -across
            u = np.clip(across / np.maximum(half, 0.5), -1, 1)
            slope = self.folds(across, along)
            flat = self.body.flat
            light = 1 + (0.05 if flat else 0.11) * self.body.light * u - (0.10 if flat else 0.25) * u**4
            light += (0.06 if flat else 0.22) * slope
            if self.crease:
                light += 0.07 * np.exp(-((u / 0.1) ** 2)) * np.sign(u - 0.02)
            if self.faded:  # worn denim pales along the thigh
                light += 0.17 * np.exp(-((u / 0.55) ** 2) - ((along - 48) / 20) ** 2)
            bent = 0.0 if flat else 1.0
            stretched = across if flat else across * (1 + 0.14 * u * u)
            return cloth.colors(
                stretched + self.shift[0] + 0.4 * bent * slope,
                along + self.shift[1] + bent * slope,
                factor * light,
                main=False,
            )

        return colors

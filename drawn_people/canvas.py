"""A canvas that paints polygons with anti-aliased edges, and keeps the label of the last shape at each pixel.

Shapes are lists of polygons ((n, 2) arrays) whose union is filled. Coverage is rasterised at `samples` times the
resolution and box-reduced; colour is computed once per output pixel, only where there is coverage.
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Shape = Sequence[np.ndarray]
Color = tuple[float, float, float] | np.ndarray
Paint = Color | Callable[[np.ndarray, np.ndarray], np.ndarray]


class Canvas:
    """RGB float32 picture (H, W, 3) in [0, 255] and uint8 labels (H, W).

    Figure coordinates become pixels by `scale * point + offset`; change both with `place`.
    """

    def __init__(self, width: int, height: int, color: Color = (255, 255, 255)):
        self.width, self.height = width, height
        self.rgb = np.empty((height, width, 3), np.float32)
        self.rgb[:] = color
        self.labels = np.zeros((height, width), np.uint8)
        self.samples = 4 if height <= 512 else 3
        self.place(1.0, (0.0, 0.0))

    def place(self, scale: float, offset: tuple[float, float]) -> None:
        self.scale, self.offset = float(scale), np.asarray(offset, np.float64)

    def paint(
        self,
        shape: Shape,
        color: Paint,
        label: int | None = None,
        opacity: float = 1.0,
        only: Sequence[int] | None = None,
        blur: float = 0.0,
    ) -> None:
        """Fills a shape.

        Args:
            color: RGB in [0, 255], or a function of the covered pixels' figure coordinates, (n,), (n,) -> (n, 3).
            label: Written where at least half a pixel is covered; None keeps the labels.
            only: Paint only where the current label is one of these.
            blur: Radius of a Gaussian blur of the coverage, in figure units.
        """
        covered = self._coverage(shape, blur)
        if covered is None:
            return
        rows, columns, alpha = covered
        labels = self.labels[rows, columns]
        if only is not None:
            alpha = alpha * np.isin(labels, only)
        inside = alpha > 0.004
        if not inside.any():
            return
        strength = (alpha[inside] * opacity)[:, None]
        if callable(color):
            y, x = np.nonzero(inside)
            x = (x + (columns.start + 0.5) - self.offset[0]) / self.scale
            y = (y + (rows.start + 0.5) - self.offset[1]) / self.scale
            color = color(x.astype(np.float32), y.astype(np.float32))
        target = self.rgb[rows, columns]
        under = target[inside]
        target[inside] = under + strength * (np.asarray(color, np.float32) - under)
        if label is not None:
            labels[alpha >= 0.5] = label

    def copy(self) -> "Canvas":
        """An independent canvas with the same content and placement."""
        other = Canvas(self.width, self.height)
        other.rgb, other.labels = self.rgb.copy(), self.labels.copy()
        other.place(self.scale, tuple(self.offset))
        return other

    def paint_from(self, other: "Canvas", shape: Shape, label: int) -> None:
        """Takes over what another canvas of this size shows inside a shape, and labels it."""
        covered = self._coverage(shape, 0.0)
        if covered is None:
            return
        rows, columns, alpha = covered
        target = self.rgb[rows, columns]
        target += alpha[..., None] * (other.rgb[rows, columns] - target)
        self.labels[rows, columns][alpha >= 0.5] = label

    def image(self) -> Image.Image:
        return Image.fromarray(np.clip(self.rgb + 0.5, 0, 255).astype(np.uint8))

    def label_image(self) -> Image.Image:
        return Image.fromarray(self.labels)

    def _coverage(self, shape: Shape, blur: float) -> tuple[slice, slice, np.ndarray] | None:
        if not len(shape):
            return None
        pixels = [np.asarray(polygon, np.float64) * self.scale + self.offset for polygon in shape]
        low = np.min([p.min(0) for p in pixels], axis=0)
        high = np.max([p.max(0) for p in pixels], axis=0)
        reach = 1 + 2.5 * blur * self.scale
        x0, y0 = (int(v) for v in np.floor(np.maximum(low - reach, 0)))
        x1 = int(min(np.ceil(high[0] + reach), self.width))
        y1 = int(min(np.ceil(high[1] + reach), self.height))
        if x1 <= x0 or y1 <= y0:
            return None
        n = self.samples if blur == 0 else 1
        mask = Image.new("L", ((x1 - x0) * n, (y1 - y0) * n))
        draw = ImageDraw.Draw(mask)
        for polygon in pixels:
            draw.polygon(np.rint((polygon - (x0, y0)) * n - 0.5).astype(int).ravel().tolist(), fill=255)
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * self.scale))
        elif n > 1:
            mask = mask.reduce(n)
        return slice(y0, y1), slice(x0, x1), np.asarray(mask, np.float32) / 255


def spline(points: Sequence, closed: bool = True, steps: int = 6) -> np.ndarray:
    """A Catmull-Rom curve through the points: (n, 2) -> (n * steps, 2), closed, or ((n - 1) * steps + 1, 2), open."""
    p = np.asarray(points, np.float64)
    if closed:
        before, after, after2 = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    else:
        padded = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
        before, p, after, after2 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (q[:, None] for q in (before, p, after, after2))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, after[-1:]])


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, steps: int = 28) -> np.ndarray:
    """The polygon of an ellipse, turned by an angle in radians."""
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    px, py = rx * np.cos(angle), ry * np.sin(angle)
    return np.stack([x + px * np.cos(turn) - py * np.sin(turn), y + px * np.sin(turn) + py * np.cos(turn)], 1)


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)


def moved(points: np.ndarray, x: float, y: float) -> np.ndarray:
    """Points (..., 2) shifted."""
    return points + np.array([x, y], np.float64)


def ribbon(points: np.ndarray, half_width: float | np.ndarray) -> list[np.ndarray]:
    """Quads along a polyline with a width at each point: a shape that may bend and overlap itself."""
    p = np.asarray(points, np.float64)
    normal = normals(p) * np.broadcast_to(np.asarray(half_width, np.float64), len(p))[:, None]
    left, right = p + normal, p - normal
    return list(np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1))


def normals(points: np.ndarray) -> np.ndarray:
    """Unit normals of a polyline (n, 2): to the right of one walking along it, as y points down."""
    tangent = np.gradient(points, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    return np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)

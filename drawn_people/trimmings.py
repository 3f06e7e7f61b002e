"""Details of a top or a dress: hem, neckline, collar, hood, closure and pockets."""

import numpy as np

from drawn_people.body import HIPS
from drawn_people.canvas import Canvas, Paint, ellipse, moved, ribbon, spline
from drawn_people.palettes import lightness, shade
from drawn_people.tops import Top


def paint_front(canvas: Canvas, garment: Top) -> None:
    """The cloth of the front, and everything on it."""
    garment.paint_cloth(canvas)
    _paint_hem(canvas, garment)
    _paint_neckline(canvas, garment)
    _paint_seams(canvas, garment)
    _paint_closure(canvas, garment)
    _paint_pockets(canvas, garment)


def _paint_hem(canvas: Canvas, garment: Top) -> None:
    cut, tube = garment.cut, garment.tube
    hem = tube.hem(cut.hem_curve)
    place = garment.body.frame.to_world
    if cut.hem == "ribbed":
        upper = moved(hem, 0, -5.5)
        half = tube.half_width(upper[:, 1])
        upper[:, 0] = np.clip(upper[:, 0], -half, half)
        canvas.paint(
            [place(np.concatenate([hem, upper[::-1]]))],
            tube.paint(garment.cloth.plain(garment.trim), 0.92),
            garment.label,
        )
        for a, b in zip(hem[1:-1], upper[1:-1], strict=True):
            garment.line(canvas, place(np.stack([a, b])), 0.28, 0.75)
        garment.line(canvas, place(upper), 0.3, 0.8)
    else:
        garment.line(canvas, place(hem * (0.99, 1) - (0, 2.2)), 0.25, 0.7)
    if cut.seam:
        u = np.linspace(-1, 1, 17)
        y = cut.waist_at + (0 if garment.body.flat else 1.6) * (1 - u * u)
        garment.line(canvas, place(np.stack([u * tube.half_width(y), y], axis=1)), 0.45, 1.1)


def _paint_seams(canvas: Canvas, garment: Top) -> None:
    """Seams of the front: princess seams of a fitted waist, tucks of a blouse beside its middle."""
    cut, tube = garment.cut, garment.tube
    low = cut.length - cut.hem_curve - 0.6
    if not cut.dress and cut.fitted:
        heights = np.linspace(garment.armpit + 7, low, 16)
        across = np.interp(heights, (heights[0], cut.waist_at, max(HIPS, cut.waist_at + 1)), (0.66, 0.5, 0.56))
        for side in (-1, 1):
            seam = np.stack([side * across * tube.half_width(heights), heights], axis=1)
            garment.line(canvas, tube.turned(seam), 0.32, 1.0)
    if cut.kind == "blouse":
        heights = np.linspace(cut.neck_depth + 2.5, cut.neck_depth + 24, 8)
        for x in (3.2, 5.4, 7.6):
            shown = heights[int(x / 2) :] if cut.neckline == "v" else heights
            for side in (-1, 1):
                tuck = np.stack([np.full(len(shown), side * x), shown], axis=1)
                garment.line(canvas, tube.turned(tuck), 0.25, 0.9)


def _paint_neckline(canvas: Canvas, garment: Top) -> None:
    cut, tube, n = garment.cut, garment.tube, garment.cut.neckline
    upper, _ = garment.half_outline(cut.neck_depth)
    edge = np.concatenate([upper[::-1] * (-1, 1), upper[1:]])
    place = garment.body.frame.to_world
    trim = tube.paint(garment.cloth.plain(garment.trim), 0.96)
    if n in ("crew", "v", "scoop", "boat", "square", "strap", "off-shoulder"):
        width = {"crew": 1.3, "off-shoulder": 1.7}.get(n, 0.9)
        canvas.paint(ribbon(place(moved(edge, 0, 0.5)), width), trim, garment.label)
        garment.line(canvas, place(moved(edge, 0, 0.5 + width)), 0.25, 0.8)
    elif n == "high":
        w, y = cut.neck_width, garment.shoulder_y(cut.neck_width)
        neck = spline(
            [(-w - 0.5, y + 1), (-w + 0.3, -8), (0, -6.8), (w - 0.3, -8), (w + 0.5, y + 1), (0, cut.neck_depth + 3)]
        )
        canvas.paint([place(neck)], tube.paint(garment.cloth, 0.98), garment.label)
        garment.line(canvas, place(spline([(-w, y), (0, cut.neck_depth + 2), (w, y)], closed=False)), 0.35, 0.8)
        garment.line(canvas, place(spline([(-w, -5), (0, -3.6), (w, -5)], closed=False)), 0.3, 0.7)
    elif n == "hooded":
        w, y = cut.neck_width, garment.shoulder_y(cut.neck_width)
        roll = spline(
            [(-w - 3, y - 4), (-w + 0.5, y + 3), (0, cut.neck_depth + 1.5), (w - 0.5, y + 3), (w + 3, y - 4)],
            closed=False,
        )
        width = np.interp(np.linspace(0, 1, len(roll)), [0, 0.5, 1], [3.6, 2.4, 3.6])
        canvas.paint(ribbon(place(roll), width), tube.paint(garment.cloth, 0.95), garment.label)
        garment.line(canvas, place(moved(roll, 0, 2.0)), 0.35, 1.0)
        if not cut.closure or garment.body.flat:
            for side in (-1, 1):
                cord = spline(
                    [
                        (side * 3, cut.neck_depth + 2),
                        (side * 3.6, cut.neck_depth + 8),
                        (side * 3.2, cut.neck_depth + 15),
                    ],
                    closed=False,
                )
                canvas.paint(
                    ribbon(tube.turned(cord), 0.5),
                    shade(garment.trim, 1.25) if lightness(garment.trim) < 150 else shade(garment.trim, 0.6),
                    garment.label,
                )
    else:
        _paint_collar(canvas, garment, trim)


def _paint_collar(canvas: Canvas, garment: Top, trim: Paint) -> None:
    cut = garment.cut
    w, y, d = cut.neck_width, garment.shoulder_y(cut.neck_width), cut.neck_depth
    if cut.neckline == "lapel":
        leaf = [
            (w - 2.6, y - 2.2),
            (w + 3.5, y + 2.5),
            (w + 5.0, 0.42 * d),
            (w + 2.2, 0.5 * d),
            (w + 3.8, 0.58 * d),
            (0.3, d + 2),
            (0.1, d - 2),
        ]
    else:
        leaf = [(w - 2.6, y - 2.4), (w + 2.6, y + 2.2), (w + 0.8, d + 6.5), (0.4, d + 0.4)]
    for side in (-1, 1):
        points = np.array(leaf) * (side, 1)
        shape = garment.body.frame.to_world(points)
        canvas.paint([moved(shape, 0, 0.9)], (24, 20, 28), opacity=0.25, only=[garment.label], blur=0.8)
        canvas.paint([shape], trim, garment.label)
        garment.line(canvas, np.concatenate([shape, shape[:1]]), 0.28, 1.0)


def _paint_closure(canvas: Canvas, garment: Top) -> None:
    cut, tube = garment.cut, garment.tube
    if not cut.closure:
        return
    bottom = cut.length - 0.4
    start = cut.neck_depth + (2 if cut.neckline == "lapel" else 0.5)
    heights = np.linspace(start, bottom, 24)
    middle = np.stack([np.zeros(24), heights], axis=1)
    if cut.closure == "zip":
        canvas.paint(ribbon(tube.turned(middle), 1.0), shade(garment.trim, 0.72), garment.label)
        canvas.paint(ribbon(tube.turned(middle), 0.4), (196, 198, 202), garment.label)
        return
    for x in (-2.0, 2.0):
        garment.line(canvas, tube.turned(moved(middle, x, 0)), 0.28, 0.9)
    color = (232, 228, 220) if lightness(garment.cloth.texture.colors[0]) < 120 else (92, 76, 66)
    gap = 12.0 if cut.kind in ("jacket", "coat") else 8.5
    for height in np.arange(start + 3.5, bottom - 3, gap):
        x, y = tube.turned(np.array([[0.0, height]]))[0]
        canvas.paint([ellipse(x, y + 0.3, 1.15, 1.15, steps=12)], (20, 18, 22), opacity=0.35)
        canvas.paint([ellipse(x, y, 1.0, 1.0, steps=12)], color)


def _paint_pockets(canvas: Canvas, garment: Top) -> None:
    cut, tube = garment.cut, garment.tube
    if cut.pocket == "chest":
        pocket = np.array([(6, 25), (14, 25), (14, 33), (10, 35.5), (6, 33), (6, 25)], float)
        garment.line(canvas, tube.turned(pocket), 0.3, 1.1)
    elif cut.pocket == "kangaroo":
        low = cut.length - 7
        pocket = np.array([(-13, low), (-13, low - 6), (-8, low - 16), (8, low - 16), (13, low - 6), (13, low)], float)
        canvas.paint([tube.turned(pocket)], tube.paint(garment.cloth, 0.96), garment.label, only=[garment.label])
        garment.line(canvas, tube.turned(np.concatenate([pocket, pocket[:1]])), 0.35, 1.1)
    elif cut.pocket == "side":
        low = min(cut.length - 8, 74)
        for side in (-1, 1):
            garment.line(canvas, tube.turned(np.array([(side * 8, low - 9), (side * 14, low)], float)), 0.5, 1.1)

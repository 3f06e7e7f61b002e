"""Backgrounds, in the coordinates of the 192x256 frame: studios, rooms, streets and blurred lights."""

import numpy as np

from drawn_people.canvas import Canvas, box, ellipse, ribbon, spline
from drawn_people.palettes import CLOTH, WALLS, pick, shade

FLOORS = [(176, 142, 108), (150, 116, 86), (196, 178, 156), (168, 166, 164), (120, 104, 94), (210, 204, 196)]
GREENS = [(74, 116, 70), (104, 140, 84), (60, 96, 74), (130, 156, 100)]


def paint_background(canvas: Canvas, rng: np.random.Generator, floor: float) -> None:
    """Paints the whole frame; `floor` is the height at which the feet stand, which may lie below the frame."""
    kinds = (_studio, _seamless, _wall, _room, _bokeh, _outdoors)
    kind = kinds[rng.choice(len(kinds), p=[0.22, 0.14, 0.22, 0.22, 0.1, 0.1])]
    kind(canvas, rng, floor)


def _gradient(canvas: Canvas, top: np.ndarray, bottom: np.ndarray, glow: float = 0.0, x: float = 0.5) -> None:
    """From top to bottom, brighter around a spot."""
    rows = np.linspace(0, 1, canvas.height, dtype=np.float32)[:, None, None]
    canvas.rgb[:] = top * (1 - rows) + bottom * rows
    if glow:
        columns = np.linspace(0, 1, canvas.width, dtype=np.float32)[None, :]
        distance = (columns - x) ** 2 * 1.6 + (rows[..., 0] - 0.4) ** 2
        canvas.rgb *= (1 + glow * (0.5 - np.minimum(1.4 * distance, 1.2)))[..., None]
        np.clip(canvas.rgb, 0, 252, out=canvas.rgb)


def _studio(canvas: Canvas, rng: np.random.Generator, floor: float) -> None:
    color = pick(rng, WALLS)
    _gradient(
        canvas,
        shade(color, rng.uniform(0.96, 1.05)),
        shade(color, rng.uniform(0.86, 1.02)),
        rng.uniform(0, 0.22),
        rng.uniform(0.3, 0.7),
    )


def _seamless(canvas: Canvas, rng: np.random.Generator, floor: float) -> None:
    """Coloured paper: wall and floor melt into each other."""
    color = pick(rng, CLOTH if rng.random() < 0.4 else WALLS, 10)
    color = 0.55 * color + 0.45 * np.array((225, 220, 214), np.float32)
    _gradient(canvas, color, shade(color, 0.98), rng.uniform(0.05, 0.3), rng.uniform(0.2, 0.8))
    if floor < 262:
        horizon = floor - rng.uniform(14, 34)
        canvas.paint([box(-30, horizon, 222, 300)], shade(color, rng.uniform(1.04, 1.12)), opacity=0.8, blur=6)


def _wall_and_floor(canvas: Canvas, rng: np.random.Generator, floor: float) -> float:
    """A wall, and a floor when it is in the frame; the height at which they meet."""
    wall = pick(rng, WALLS)
    _gradient(
        canvas,
        shade(wall, rng.uniform(0.92, 1.02)),
        shade(wall, rng.uniform(0.9, 1.0)),
        rng.uniform(0.0, 0.2),
        rng.uniform(0.1, 0.9),
    )
    style = rng.random()
    if style < 0.22:
        gap = rng.uniform(9, 22)
        for x in np.arange(rng.uniform(0, gap), 192, gap):
            canvas.paint([box(x, -2, x + 0.5 * gap, 260)], shade(wall, 0.95), opacity=0.8)
    elif style < 0.34:  # panels
        for x in np.arange(rng.uniform(-30, 0), 192, 52):
            frame = np.array([(x, 20), (x + 40, 20), (x + 40, 150), (x, 150), (x, 20)], float)
            canvas.paint(ribbon(frame, 0.8), shade(wall, 0.88))
    elif style < 0.44:  # bricks
        for row, y in enumerate(np.arange(0, 260, 9)):
            canvas.paint([box(-1, y, 193, y + 0.8)], shade(wall, 0.86))
            canvas.paint([box(x, y, x + 0.8, y + 9) for x in np.arange(-9 * (row % 2), 192, 18)], shade(wall, 0.86))
    horizon = floor - rng.uniform(12, 30)
    if horizon < 258:
        ground = pick(rng, FLOORS)
        canvas.paint([box(-2, horizon, 194, 260)], lambda x, y: ground * (1.02 - 0.1 * (y - horizon) / 60)[:, None])
        if rng.random() < 0.5:
            vanishing = rng.uniform(40, 150)
            boards = [
                np.array([(vanishing + (x - vanishing) * 0.5, horizon), (x, 262)]) for x in np.arange(-160, 360, 26)
            ]
            for board in boards:
                canvas.paint(ribbon(board, 0.35), shade(ground, 0.82), opacity=0.7)
        canvas.paint([box(-2, horizon - 4, 194, horizon + 0.3)], shade(wall, rng.choice([0.8, 1.08])))
        canvas.paint([box(-2, horizon, 194, horizon + 2)], (30, 24, 24), opacity=0.25, blur=1.2)
    return min(horizon, 262)


def _wall(canvas: Canvas, rng: np.random.Generator, floor: float) -> None:
    _wall_and_floor(canvas, rng, floor)


def _room(canvas: Canvas, rng: np.random.Generator, floor: float) -> None:
    horizon = _wall_and_floor(canvas, rng, floor)
    things = [_window, _picture, _plant, _lamp, _sofa, _shelf, _rail]
    for index in rng.choice(len(things), size=int(rng.integers(2, 5)), replace=False):
        left = bool(rng.random() < 0.5)
        things[index](canvas, rng, rng.uniform(8, 46) if left else rng.uniform(146, 184), horizon)


def _window(canvas: Canvas, rng: np.random.Generator, x: float, horizon: float) -> None:
    w, h, y = rng.uniform(20, 34), rng.uniform(60, 90), rng.uniform(8, 40)
    sky = np.array((206, 226, 240), np.float32)
    canvas.paint([box(x - w - 3, y - 3, x + w + 3, y + h + 3)], (242, 240, 236))
    canvas.paint([box(x - w, y, x + w, y + h)], lambda px, py: sky * (0.92 + 0.1 * (py - y) / h)[:, None])
    canvas.paint([box(x - 1, y, x + 1, y + h), box(x - w, y + h * 0.5 - 1, x + w, y + h * 0.5 + 1)], (242, 240, 236))
    curtain = pick(rng, CLOTH)
    for side in (-1, 1):
        edge = x + side * (w + 2)
        canvas.paint(
            [box(edge - 8, y - 8, edge + 8, y + h + 18)],
            lambda px, py: (0.5 * curtain + 110) * (1 + 0.06 * np.sin(px * 1.3))[:, None],
        )


def _picture(canvas: Canvas, rng: np.random.Generator, x: float, horizon: float) -> None:
    w, h, y = rng.uniform(10, 22), rng.uniform(12, 26), rng.uniform(30, 90)
    canvas.paint([box(x - w, y - h + 2, x + w + 1.5, y + h + 3)], (30, 26, 24), opacity=0.3, blur=1.5)
    canvas.paint(
        [box(x - w, y - h, x + w, y + h)], pick(rng, [(60, 46, 38), (228, 224, 216), (30, 30, 34), (170, 130, 84)])
    )
    canvas.paint([box(x - w + 2, y - h + 2, x + w - 2, y + h - 2)], (240, 236, 228))
    for _ in range(int(rng.integers(2, 5))):
        px, py = x + rng.uniform(-0.5, 0.5) * w, y + rng.uniform(-0.5, 0.5) * h
        canvas.paint(
            [ellipse(px, py, rng.uniform(2, 0.4 * w), rng.uniform(2, 0.4 * h), rng.uniform(0, 3))], pick(rng, CLOTH)
        )


def _plant(canvas: Canvas, rng: np.random.Generator, x: float, horizon: float) -> None:
    ground = horizon + rng.uniform(2, 12)
    green, pot = pick(rng, GREENS), pick(rng, CLOTH)
    tall = rng.uniform(40, 100)
    for _ in range(int(rng.integers(9, 16))):
        angle, length = rng.uniform(-1.3, 1.3), rng.uniform(0.5, 1.0) * tall
        tip = np.array([x + length * 0.6 * np.sin(angle), ground - 20 - length * np.cos(angle * 0.7)])
        base = np.array([x, ground - 20])
        middle = 0.5 * (base + tip) + (rng.normal(0, 3), -6)
        curve = spline([base, middle, tip], closed=False)
        width = 3.6 * np.sin(np.linspace(0.15, np.pi, len(curve))) + 0.3
        canvas.paint(ribbon(curve, width), shade(green, rng.uniform(0.75, 1.2)))
    canvas.paint(
        [np.array([(x - 11, ground - 22), (x + 11, ground - 22), (x + 8, ground), (x - 8, ground)])],
        lambda px, py: pot * (1.05 - 0.02 * np.abs(px - x + 4))[:, None],
    )


def _lamp(canvas: Canvas, rng: np.random.Generator, x: float, horizon: float) -> None:
    top, ground = rng.uniform(30, 70), horizon + rng.uniform(0, 8)
    canvas.paint([box(x - 0.8, top, x + 0.8, ground), ellipse(x, ground, 9, 2)], (70, 64, 60))
    canvas.paint([ellipse(x, top + 6, 34, 30)], (255, 240, 205), opacity=0.35, blur=9)
    canvas.paint(
        [np.array([(x - 8, top - 12), (x + 8, top - 12), (x + 14, top + 10), (x - 14, top + 10)])], (250, 232, 196)
    )


def _sofa(canvas: Canvas, rng: np.random.Generator, x: float, horizon: float) -> None:
    color, ground = pick(rng, CLOTH), horizon + rng.uniform(4, 14)
    color = 0.75 * color + 40
    canvas.paint(
        [spline([(x - 44, ground - 44), (x + 44, ground - 44), (x + 46, ground - 6), (x - 46, ground - 6)], steps=5)],
        color,
    )
    canvas.paint(
        [
            spline(
                [
                    (x - 42, ground - 24),
                    (x, ground - 26),
                    (x + 42, ground - 24),
                    (x + 44, ground - 8),
                    (x - 44, ground - 8),
                ],
                steps=4,
            )
        ],
        shade(color, 1.1),
    )
    canvas.paint(
        [box(x - 52, ground - 32, x - 42, ground - 3), box(x + 42, ground - 32, x + 52, ground - 3)], shade(color, 0.9)
    )
    canvas.paint([ellipse(x + rng.uniform(-25, 25), ground - 30, 11, 9, 0.3)], pick(rng, CLOTH))
    canvas.paint([box(x - 50, ground - 4, x + 50, ground)], (40, 30, 28), opacity=0.35, blur=2)


def _shelf(canvas: Canvas, rng: np.random.Generator, x: float, horizon: float) -> None:
    wood = pick(rng, FLOORS)
    for y in np.arange(rng.uniform(34, 60), min(horizon - 10, 230), rng.uniform(30, 40)):
        canvas.paint([box(x - 26, y, x + 26, y + 2.4)], wood)
        px = x - 24.0
        while px < x + 20:
            w, h = rng.uniform(2.5, 6), rng.uniform(10, 22)
            if rng.random() < 0.8:
                canvas.paint([box(px, y - h, px + w, y)], shade(pick(rng, CLOTH), 0.95))
            px += w + 0.4


def _rail(canvas: Canvas, rng: np.random.Generator, x: float, horizon: float) -> None:
    """A clothes rail."""
    top, ground = horizon - rng.uniform(95, 120), horizon + 6
    canvas.paint(
        [box(x - 34, top, x + 34, top + 1.6), box(x - 34, top, x - 32.6, ground), box(x + 32.6, top, x + 34, ground)],
        (80, 80, 84),
    )
    for px in np.arange(x - 26, x + 28, 7.5):
        color, long = pick(rng, CLOTH), rng.uniform(40, 76)
        canvas.paint(
            [
                np.array(
                    [(px, top + 4), (px + 4, top + 9), (px + 5, top + long), (px - 5, top + long), (px - 4, top + 9)]
                )
            ],
            lambda a, b, c=color, p=px: c * (0.96 + 0.03 * (a - p))[:, None],
        )


def _bokeh(canvas: Canvas, rng: np.random.Generator, floor: float) -> None:
    base = pick(rng, WALLS + FLOORS) * rng.uniform(0.45, 0.95)
    _gradient(canvas, base, shade(base, rng.uniform(0.7, 1.1)))
    for _ in range(int(rng.integers(10, 18))):
        x, y = rng.uniform(-10, 202), rng.uniform(-10, 240)
        color = 0.5 * pick(rng, CLOTH) + 0.5 * np.array((255, 236, 200), np.float32)
        size = rng.uniform(6, 26)
        canvas.paint([ellipse(x, y, size, size)], color, opacity=rng.uniform(0.15, 0.55), blur=rng.uniform(0.6, 3))
    if floor < 262:
        canvas.paint([box(-20, floor - 18, 212, 290)], shade(base, 0.75), opacity=0.85, blur=5)


def _outdoors(canvas: Canvas, rng: np.random.Generator, floor: float) -> None:
    sky = pick(rng, [(176, 208, 236), (206, 222, 236), (240, 214, 190)])
    _gradient(canvas, sky, 0.4 * sky + 0.6 * np.array((244, 240, 232), np.float32))
    horizon = min(floor - rng.uniform(16, 40), 236)
    city = rng.random() < 0.5
    x = -12.0
    while x < 200:
        w, h = rng.uniform(14, 38), rng.uniform(30, 150)
        if city:
            color = shade(pick(rng, WALLS + FLOORS), 0.9)
            canvas.paint([box(x, horizon - h, x + w, horizon)], color, blur=0.8)
            rows = np.arange(horizon - h + 6, horizon - 8, 10)
            panes = [box(px, py, px + 3.4, py + 5) for py in rows for px in np.arange(x + 3, x + w - 5, 7)]
            canvas.paint(panes, shade(color, 0.72), opacity=0.8, blur=0.5)
        else:
            green = pick(rng, GREENS)
            canvas.paint(
                [ellipse(x + rng.normal(0, 4), horizon - rng.uniform(10, 60), w * 0.8, rng.uniform(22, 46))],
                green,
                blur=1.5,
            )
        x += w * (1.0 if city else 0.7)
    ground = pick(rng, FLOORS if city else GREENS)
    canvas.paint([box(-4, horizon, 196, 262)], lambda px, py: ground * (0.92 + 0.12 * (py - horizon) / 60)[:, None])

"""Hair: behind the shoulders, around the face, and in locks that fall over the garment."""

import numpy as np

from drawn_people.body import FACE_LABEL
from drawn_people.canvas import Canvas, Paint, ellipse, moved, ribbon, spline
from drawn_people.looks import Head

HAIR_LABEL = 2


def paint_hair_behind(canvas: Canvas, head: Head) -> None:
    """Hair that falls behind neck and shoulders."""
    if head.style in ("long", "wavy"):
        low, wide = 12 + head.length, 14.5 + (2.0 if head.style == "wavy" else 0.0)
        wave = 1.4 if head.style == "wavy" else 0.3
        y = np.linspace(-8, low, 12)
        x = wide + wave * np.sin(0.55 * y + head.phase) + np.clip(y, 0, 14) * 0.12
        right = np.stack([x, y], axis=1)
        outline = np.concatenate([[(0, -17.5)], [(9, -15)], right, right[::-1] * (-1, 1), [(-9, -15)]])
        canvas.paint([spline(head.place(outline), steps=3)], _hair_paint(head, 0.82), HAIR_LABEL)
    elif head.style == "bob":
        low = 10 + 0.25 * head.length
        outline = [
            (0, -18),
            (10, -15),
            (14.5, -4),
            (14.8, low - 6),
            (12.5, low),
            (0, low - 2),
            (-12.5, low),
            (-14.8, low - 6),
            (-14.5, -4),
            (-10, -15),
        ]
        canvas.paint([spline(head.place(outline))], _hair_paint(head, 0.84), HAIR_LABEL)
    elif head.style == "curly":
        angles = np.linspace(0, 2 * np.pi, 15)[:-1] + head.phase
        puffs = [ellipse(13.0 * np.cos(a), -5 + 12.5 * np.sin(a), 6.2, 6.2, steps=14) for a in angles]
        shape = [head.place(p) for p in [*puffs, ellipse(0, -5, 14.5, 14.0)]]
        canvas.paint(shape, _hair_paint(head, 0.86), HAIR_LABEL)
    elif head.style == "bun":
        canvas.paint(
            [head.place(ellipse(1.5 * np.sign(head.part), -19.5, 6.4, 5.6))], _hair_paint(head, 0.9), HAIR_LABEL
        )
    elif head.style == "ponytail":
        side = 1 if head.part > 0 else -1
        tail = spline(
            head.place([(side * 8, -12), (side * 16, -4), (side * 16.5, 10), (side * 13, 14 + 0.7 * head.length)]),
            closed=False,
        )
        canvas.paint(
            ribbon(tail, np.interp(np.linspace(0, 1, len(tail)), [0, 0.4, 1], [3.0, 4.8, 1.2])),
            _hair_paint(head, 0.88),
            HAIR_LABEL,
        )


def paint_hair(canvas: Canvas, head: Head) -> None:
    """Hair over the forehead and around the face."""
    if head.style == "bald":
        return
    line = -9.5 + 5.5 * head.fringe  # the hairline over the forehead
    top, wide = {"buzz": (-16.6, 10.6), "curly": (-18.5, 12.4), "short": (-18.6, 11.6)}.get(head.style, (-18.2, 11.8))
    part = 6.5 * head.part
    side_low = {"buzz": -3.0, "short": -0.5, "side": -0.5, "bob": 7.0, "long": 6.0, "wavy": 6.0}.get(head.style, -1.0)
    inner = 9.4 if head.style in ("bob", "long", "wavy") else 10.0
    outline = [
        (-wide, side_low), (-wide - 0.4, -7), (-wide * 0.72, top + 3.6), (0, top), (wide * 0.72, top + 3.6),
        (wide + 0.4, -7), (wide, side_low), (inner, -2.5), (inner * 0.86, line + 0.4),
        (part + 2.2, line - 1.2 - 1.5 * (1 - head.fringe)),
        (part, line - 1.8), (part - 2.2, line - 0.6), (-inner * 0.86, line + 0.8), (-inner, -2.5),
    ]  # fmt: skip
    canvas.paint(
        [spline(head.place(outline), steps=4)],
        _hair_paint(head),
        HAIR_LABEL,
        opacity=0.82 if head.style == "buzz" else 1.0,
    )
    if head.style == "curly":
        puffs = [ellipse(x, -13.5 - 0.02 * (60 - x * x), 4.2, 4.2, steps=12) for x in np.linspace(-10, 10, 6)]
        canvas.paint([head.place(p) for p in puffs], _hair_paint(head, 1.05), HAIR_LABEL)


def paint_locks(canvas: Canvas, head: Head) -> None:
    """Long hair in front of the shoulders and the garment."""
    if head.style not in ("long", "wavy"):
        return
    wave = 2.0 if head.style == "wavy" else 0.5
    for side, shown in zip((-1, 1), head.locks, strict=True):
        if not shown:
            continue
        t = np.linspace(0, 1, 9)
        y = -10 + (22 + head.length) * t
        x = side * (10.4 + 5.0 * np.sin(np.pi * np.clip(t * 0.9, 0, 1)) - 1.5 * t) + wave * np.sin(
            0.32 * y + head.phase
        )
        lock = spline(head.place(np.stack([x, y], axis=1)), closed=False, steps=3)
        width = np.interp(np.linspace(0, 1, len(lock)), [0, 0.35, 0.8, 1], [1.6, 4.4, 3.8, 0.8])
        canvas.paint(
            [moved(p, 0.7, 0.8) for p in ribbon(lock, width)],
            (24, 18, 24),
            opacity=0.25,
            only=[4, 7, FACE_LABEL, 14, 15],
            blur=1.0,
        )
        canvas.paint(ribbon(lock, width), _hair_paint(head, 0.95), HAIR_LABEL)


def _hair_paint(head: Head, factor: float = 1.0) -> Paint:
    (left, top), base = head.body.head, head.hair * factor

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x, y = x - left, y - top
        strands = np.sin(1.5 * x + 0.05 * y * np.sign(x) + 0.8 * np.sin(0.3 * y + head.phase))
        gleam = np.exp(-(((y + 9 + 0.04 * x * x) / 4.5) ** 2)) * 0.22
        light = 1 + (0.03 if head.style == "curly" else 0.07) * strands + 0.006 * head.body.light * x
        return np.clip(base * light[:, None] + (230 * gleam * (0.5 + 0.3 * strands))[:, None] * 0.5, 0, 255)

    return paint

"""Face, hats and glasses; `looks` has the head's coordinates."""

import numpy as np

from drawn_people.body import FACE_LABEL, Body
from drawn_people.canvas import Canvas, Paint, ellipse, ribbon, spline
from drawn_people.hair import paint_hair
from drawn_people.looks import STYLES, Head
from drawn_people.palettes import CLOTH, HAIR, lightness, pick, shade

HAT_LABEL, GLASSES_LABEL = 1, 3
_FACE = [(0, -16), (7, -13.5), (10.4, -6), (10.2, 2), (7.6, 9.6), (3.4, 14.2), (0, 15.2)]


def paint_head(canvas: Canvas, head: Head) -> None:
    """Ears, face, hair above it, hat and glasses."""
    skin = head.body.skin
    if head.style not in ("long", "wavy", "bob"):
        for side in (-1, 1):
            canvas.paint([head.place(ellipse(side * 10.6, 1.0, 2.0, 3.2))], shade(skin, 0.9), FACE_LABEL)
    canvas.paint([head.place(_face_outline())], _skin_paint(head), FACE_LABEL)
    _paint_features(canvas, head)
    paint_hair(canvas, head)
    if head.glasses:
        _paint_glasses(canvas, head)
    if head.hat:
        _paint_hat(canvas, head)


def _face_outline() -> np.ndarray:
    right = np.array(_FACE, float)
    return spline(np.concatenate([right, right[-2:0:-1] * (-1, 1)]), steps=4)


def _skin_paint(head: Head) -> Paint:
    at, skin = head.body.head, head.body.skin

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = (x - at[0]) / 10.5, (y - at[1]) / 15.5
        return skin * (1.02 + 0.05 * head.body.light * u - 0.09 * np.clip(u * u + v * v, 0, 1.2) ** 2)[:, None]

    return paint


def _paint_features(canvas: Canvas, head: Head) -> None:
    skin, turn = head.body.skin, head.body.face_yaw * 6.0
    dark = shade(head.hair, 0.75) if lightness(head.hair) < 140 else shade(head.hair, 0.55)
    blush = np.clip(skin * (1.0, 0.78, 0.76), 0, 255)
    for side in (-1, 1):
        x = side * 4.7 + turn
        canvas.paint(
            [head.place(ellipse(side * 6.2 + turn, 5.6, 2.6, 1.7))],
            blush,
            opacity=0.45,
            only=[FACE_LABEL],
            blur=1.0,
        )
        canvas.paint([head.place(ellipse(x, 0.2, 2.1, 1.45, steps=16))], (250, 248, 246), opacity=0.95)
        canvas.paint([head.place(ellipse(x + 0.25 * turn, 0.3, 1.25, 1.4, steps=14))], (46, 34, 32))
        canvas.paint([head.place(ellipse(x + 0.25 * turn + 0.45, -0.2, 0.42, 0.42, steps=8))], (255, 255, 255))
        lid = spline([(x - 2.3, 0.1), (x, -1.5), (x + 2.3, 0.1)], closed=False)
        canvas.paint(ribbon(head.place(lid), 0.38), (42, 30, 30))
        brow = spline([(x - 2.7, -3.6), (x, -4.6), (x + 2.7, -3.6)], closed=False)
        canvas.paint(ribbon(head.place(brow), 0.55), dark, opacity=0.85)
    if head.beard:
        jaw = [
            (-10, 2),
            (-7.5, 9.8),
            (-3.4, 14.4),
            (0, 15.5),
            (3.4, 14.4),
            (7.5, 9.8),
            (10, 2),
            (8.2, 6.5),
            (4.4 + turn, 7.2),
            (turn, 6.4),
            (-4.4 + turn, 7.2),
            (-8.2, 6.5),
        ]
        canvas.paint([spline(head.place(jaw), steps=3)], head.hair * 0.92, opacity=head.beard)
    nose = spline(
        [(turn * 1.35 + 0.2, 0.5), (turn * 1.35 + 1.1 * np.sign(turn + 1e-3), 4.1), (turn * 1.3 - 0.6, 4.9)],
        closed=False,
    )
    canvas.paint(ribbon(head.place(nose), 0.35), shade(skin, 0.74), opacity=0.85)
    bend = head.smile
    mouth = spline(
        [
            (turn * 1.1 - 3.2, 8.4 - 0.4 * bend),
            (turn * 1.1, 8.6 + 0.9 * bend),
            (turn * 1.1 + 3.2, 8.4 - 0.4 * bend),
        ],
        closed=False,
    )
    width = 0.25 + 0.65 * np.sin(np.linspace(0, np.pi, len(mouth)))
    canvas.paint(ribbon(head.place(mouth), width), head.lips)


def _paint_glasses(canvas: Canvas, head: Head) -> None:
    turn = head.body.face_yaw * 6.0
    rims = [
        spline(
            [(s * 5.0 + turn + dx, 0.6 + dy) for dx, dy in ((-3.6, -2.4), (3.6, -2.4), (3.2, 2.4), (-3.2, 2.4))],
            steps=5,
        )
        for s in (-1, 1)
    ]
    frame = (34, 28, 30)
    if head.glasses == "sunglasses":
        canvas.paint(
            [head.place(r) for r in rims],
            lambda x, y: np.array((38, 34, 42), np.float32) + (6 * (x - head.body.head[0]))[:, None].clip(-20, 30),
            GLASSES_LABEL,
        )
    for rim in rims:
        canvas.paint(
            ribbon(head.place(np.concatenate([rim, rim[:1]])), 0.4),
            frame,
            GLASSES_LABEL if head.glasses == "sunglasses" else None,
        )
    canvas.paint(ribbon(head.place([(turn - 1.6, -0.6), (turn + 1.6, -0.6)]), 0.45), frame)


def _paint_hat(canvas: Canvas, head: Head) -> None:
    def cloth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u = (x - head.body.head[0]) / 13
        return np.clip(head.hat_color * (1 + 0.08 * head.body.light * u - 0.16 * u * u)[:, None], 0, 255)

    if head.hat == "beanie":
        crown = [
            (-12.6, -5),
            (-12.4, -14),
            (-6.5, -21.5),
            (0, -23),
            (6.5, -21.5),
            (12.4, -14),
            (12.6, -5),
            (0, -7.2),
        ]
        band = [(-12.9, -4), (-12.9, -9), (0, -11.5), (12.9, -9), (12.9, -4), (0, -6.4)]
        canvas.paint([spline(head.place(crown), steps=4)], cloth, HAT_LABEL)
        canvas.paint([spline(head.place(band), steps=4)], shade(head.hat_color, 0.86), HAT_LABEL)
    elif head.hat == "cap":
        crown = [(-12.2, -6), (-12, -13), (-7, -19.5), (0, -21), (7, -19.5), (12, -13), (12.2, -6), (0, -8.5)]
        turn = head.body.face_yaw * 8
        brim = [
            (-10.5 + turn, -7.8),
            (turn, -10),
            (10.5 + turn, -7.8),
            (9 + 1.3 * turn, -4.2),
            (1.4 * turn, -3.0),
            (-9 + 1.3 * turn, -4.2),
        ]
        canvas.paint([spline(head.place(crown), steps=4)], cloth, HAT_LABEL)
        canvas.paint([spline(head.place(brim), steps=4)], shade(head.hat_color, 0.72), HAT_LABEL)
    else:
        crown = [(-11.5, -8), (-10.5, -17), (-5, -22.5), (5, -22.5), (10.5, -17), (11.5, -8)]
        canvas.paint([head.place(ellipse(0, -8.0, 21, 4.6))], shade(head.hat_color, 0.86), HAT_LABEL)
        canvas.paint([spline(head.place(crown), steps=4)], cloth, HAT_LABEL)
        canvas.paint(
            [head.place([(-11.4, -11.5), (0, -13), (11.4, -11.5), (11.4, -8.4), (0, -9.8), (-11.4, -8.4)])],
            shade(head.hat_color, 0.5),
            HAT_LABEL,
        )


def draw_head(rng: np.random.Generator, body: Body) -> Head:
    """A random head; styles lean with the body's femininity, but anybody may wear anything."""
    f = body.femininity
    weights = np.array(
        [
            1.3 - f,
            1.2 - f,
            0.5 - 0.4 * f,
            0.2 + f,
            0.15 + 1.4 * f,
            0.1 + f,
            0.1 + 0.7 * f,
            0.1 + 0.6 * f,
            0.5,
            0.14 * (1 - f),
        ]
    )
    style = str(rng.choice(STYLES, p=weights / weights.sum()))
    hat = str(rng.choice(["", "beanie", "cap", "brim"], p=[0.87, 0.05, 0.04, 0.04]))
    if hat and style in ("bun", "curly"):
        style = "long"
    skin_dark = lightness(body.skin) < 130
    return Head(
        body=body,
        style=style,
        hair=pick(rng, HAIR[:4] if skin_dark and rng.random() < 0.85 else HAIR, 4),
        part=float(rng.uniform(-1, 1)),
        fringe=float(rng.uniform(0, 1)) ** 2,
        length=float(rng.uniform(4, 40)),
        locks=(bool(rng.random() < 0.55), bool(rng.random() < 0.55)),
        hat=hat,
        hat_color=pick(rng, CLOTH),
        glasses=str(rng.choice(["", "sunglasses", "plain"], p=[0.84, 0.07, 0.09])),
        smile=float(rng.uniform(0.1, 1.2)),
        lips=np.clip(body.skin * (0.86, 0.56, 0.56) + (rng.uniform(0, 40), 0, 0), 0, 255),
        beard=float(rng.uniform(0.6, 0.92)) if f < 0.45 and style in STYLES[:3] and rng.random() < 0.5 else 0.0,
        phase=float(rng.uniform(0, 6.28)),
    )

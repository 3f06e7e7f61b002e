"""Paints bare skin: torso, arms, hands and legs."""

import numpy as np

from drawn_people.body import ARM_LABELS, CLOTHES_LABELS, FACE_LABEL, HIPS, LEG_LABELS, WAIST, Body
from drawn_people.canvas import Canvas, Paint, moved, spline
from drawn_people.limbs import Limb
from drawn_people.palettes import shade


def limb_skin(body: Body, limb: Limb, color: np.ndarray) -> Paint:
    """The colour function of a bare limb: lit from the body's side, darker at its edges."""

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        across, _, half = limb.project(x, y)
        u = np.clip(-across / np.maximum(half, 0.5), -1, 1)
        return color * (1.0 + 0.07 * body.light * u - 0.13 * u**4)[:, None]

    return paint


def draw_torso(canvas: Canvas, body: Body) -> None:
    """Neck, chest and hips in bare skin."""
    s, c, w, h = body.shoulder, body.chest, body.waist, body.hip
    half = [
        (body.neck, 0.5),
        (body.neck + 4, 3.2),
        (s - 3, 6.5),
        (s - 1, 12),
        (c, 24),
        (w, WAIST),
        (h, HIPS),
        (h - 4, 86),
    ]
    right = spline(half, closed=False)
    outline = np.concatenate([right, right[::-1] * (-1, 1)])
    neck = np.stack([body.frame.to_world(np.array([0.0, 5.0])), moved(body.head, 0, 6)])
    tube = Limb.through(
        np.stack([neck[0], neck.mean(0), neck[1]]), [0, 0.4, 1], [body.neck * 1.12, body.neck, body.neck]
    )

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        local_x, local_y = body.frame.to_local(x, y)
        u = np.clip(local_x / body.half_width(local_y), -1, 1)
        return body.skin * (1.0 + 0.05 * body.light * u - 0.1 * u**4)[:, None]

    canvas.paint([body.frame.to_world(outline)], paint, FACE_LABEL)
    canvas.paint(tube.shape(), limb_skin(body, tube, body.skin * 0.97), FACE_LABEL)
    chin = spline([body.head + p for p in ((-9, 8), (0, 15), (9, 8), (6, 20), (-6, 20))])
    canvas.paint([chin], shade(body.skin, 0.6), opacity=0.42, only=[FACE_LABEL], blur=1.4)


def draw_arm(canvas: Canvas, body: Body, side: int, start: float = 0.0) -> None:
    """A bare arm with its hand; up to `start`, a distance from the shoulder, a sleeve hides it."""
    arm = body.arm(side)
    shown = arm.cut(start, arm.length)
    shape = shown.shape() if start else [*shown.shape(), _joint(arm)]
    shadow = [moved(p, -0.7 * np.sign(body.light), 1.2) for p in shape]
    canvas.paint(shadow, (30, 24, 40), opacity=0.22, only=CLOTHES_LABELS, blur=1.5)
    canvas.paint(shape, limb_skin(body, shown, body.skin), ARM_LABELS[side])
    draw_hand(canvas, body, side)


def draw_hand(canvas: Canvas, body: Body, side: int) -> None:
    elbow, wrist = body.arms[side][1:]
    ahead = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    out = (-1, 1)[side]
    across = np.array([-ahead[1], ahead[0]])
    size = 0.92 * body.build**0.4
    palm = [(-1.5, -3.0), (3.5, -4.0), (8.5, -3.2), (12.0, -1.2), (11.5, 1.2), (8.0, 3.4), (3.0, 3.8), (-1.5, 3.0)]
    thumb = [(1.0, 2.0), (4.0, 5.4), (7.5, 5.4), (7.0, 3.4), (4.0, 1.5)]

    def place(points: list[tuple[float, float]]) -> np.ndarray:
        return spline([wrist + size * (a * ahead + out * b * across) for a, b in points])

    canvas.paint([place(thumb)], shade(body.skin, 0.93), ARM_LABELS[side])
    canvas.paint([place(palm)], shade(body.skin, 1.0), ARM_LABELS[side])
    for b in (-1.4, 0.6):
        finger = [wrist + size * (a * ahead + out * b * across) for a in (7.0, 11.0)]
        canvas.paint(
            [np.array([*finger, finger[1] + 0.5 * across, finger[0] + 0.5 * across])],
            shade(body.skin, 0.7),
            opacity=0.6,
        )


def draw_leg(canvas: Canvas, body: Body, side: int, color: np.ndarray) -> None:
    """A leg in skin or tights."""
    leg = body.leg(side)
    canvas.paint(leg.shape(), limb_skin(body, leg, color), LEG_LABELS[side])


def _joint(arm: Limb) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return arm.spine[0] + arm.half_width[0] * np.stack([np.cos(angle), np.sin(angle)], axis=1)

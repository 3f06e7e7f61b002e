"""OpenPose's drawing of a person's joints, which the pose guider reads."""

from __future__ import annotations

import colorsys
import math
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from temu_vtoff.tryon.joints import FACE, HAND, LEAST_SCORE, Joints

HALF_WIDTH, DIM = 4, 0.6  # of the limbs
DISC, FACE_DISC, LINE = 4, 3, 2
LIMBS = (  # in OpenPose's order of drawing, by its numbers of the body's joints
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10)),
    *((1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
COLOURS = (  # of limbs and joints, by number
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0)),
    *((0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255)),
    *((0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
)
FINGER_BONES = tuple(bone for root in range(1, HAND, 4) for bone in pairwise((0, *range(root, root + 4))))
BLUE, WHITE = (0, 0, 255), (255, 255, 255)


def pose_picture(joints: Joints, width: int, height: int) -> Image.Image:
    """The joints on black, RGB; red and blue are swapped, as the published model was trained.

    Args:
        joints: In pixels of this size. Those with a score below 0.3 are left out.
    """
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    body = _seen(joints.body)
    for (start, end), colour in zip(LIMBS, COLOURS, strict=False):
        if start in body and end in body:
            draw.polygon(_ellipse(body[start], body[end]), fill=colour)
    picture = picture.point(lambda value: int(DIM * value))
    draw = ImageDraw.Draw(picture)
    for number, point in body.items():
        _disc(draw, point, DISC, COLOURS[number])
    for hand in (joints.left_hand, joints.right_hand):
        points = _seen(hand)
        for number, (start, end) in enumerate(FINGER_BONES):
            if start in points and end in points:
                hue = colorsys.hsv_to_rgb(number / len(FINGER_BONES), 1, 1)
                draw.line((*points[start], *points[end]), tuple(round(255 * part) for part in hue), LINE)
        for point in points.values():
            _disc(draw, point, DISC, BLUE)
    for point in _seen(joints.face[:FACE]).values():
        _disc(draw, point, FACE_DISC, WHITE)
    red, green, blue = picture.split()
    return Image.merge("RGB", (blue, green, red))


def _seen(points: np.ndarray) -> dict[int, tuple[int, int]]:
    """Whole pixels of the points that are seen, by number."""
    return {number: (int(x), int(y)) for number, (x, y, score) in enumerate(points) if score >= LEAST_SCORE}


def _ellipse(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[float, float]]:
    """The outline of the ellipse whose long axis joins two points."""
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    along = ((end[0] - start[0]) / 2, (end[1] - start[1]) / 2)
    length = math.hypot(*along) or 1.0
    across = (-along[1] / length * HALF_WIDTH, along[0] / length * HALF_WIDTH)
    turns = (2 * math.pi * degree / 360 for degree in range(360))
    return [
        tuple(m + math.cos(turn) * a + math.sin(turn) * b for m, a, b in zip(middle, along, across, strict=True))
        for turn in turns
    ]


def _disc(draw: ImageDraw.ImageDraw, centre: tuple[int, int], radius: int, colour: tuple[int, int, int]) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

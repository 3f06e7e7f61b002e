"""Trousers, shorts, leggings and skirts, worn or flat."""

import numpy as np

from drawn_people.body import CROTCH, HIPS, WAIST, Body
from drawn_people.canvas import Canvas, ellipse, moved, ribbon
from drawn_people.cuts import BottomCut
from drawn_people.folds import Folds, hanging_folds, limb_folds, torso_folds
from drawn_people.limbs import Limb
from drawn_people.palettes import lightness
from drawn_people.panels import Cloth, Sleeve, Tube, profile


class Bottom:
    """One lower-body garment on one body; arguments as for `Top`."""

    def __init__(self, cut: BottomCut, body: Body, cloth: Cloth, rng: np.random.Generator, label: int):
        self.cut, self.body, self.cloth, self.label = cut, body, cloth, label
        dark = lightness(cloth.texture.colors[0]) < 75
        self.line = np.array((196, 196, 202) if dark else (24, 20, 28), np.float32)
        self.line_strength = 0.3 if dark else 0.38
        if cut.kind == "jeans":
            self.line, self.line_strength = np.array((206, 158, 96), np.float32), 0.62
        self.waist = float(np.interp(cut.rise, (WAIST, HIPS), (body.waist, body.hip))) * 1.03 + 0.3
        self.hips = body.hip * (1.01 + (0.36 if cut.skirt else 0.24) * cut.ease) + 0.3
        self.tube = self._tube(rng)
        self.legs = [] if cut.skirt else [self._leg(side, rng) for side in (0, 1)]

    def _tube(self, rng: np.random.Generator) -> Tube:
        cut, body = self.cut, self.body
        waves = (float(rng.uniform(3.4, 6.2)), float(rng.uniform(0, 6.28)))
        if not cut.skirt:  # only its waistband and its coordinates are used
            heights, half = profile([(40, self.waist), (cut.rise, self.waist), (HIPS, self.hips), (100, self.hips)], 96)
            return Tube(body, heights, half, torso_folds(rng, self.hips, cut.rise, 84, 0.1 + cut.ease))
        hips = self.hips + cut.hem_width * 8 * (cut.hem_width > 0)
        low = max(cut.length, 92)
        hem = hips + cut.hem_width * (low - HIPS)
        heights, half = profile(
            [(cut.rise - 12, self.waist), (cut.rise, self.waist), (HIPS, hips), (low, hem), (low + 20, hem)], cut.length
        )
        flared = cut.kind != "pencil skirt"
        folds = hanging_folds(rng, float(half.max()), cut.rise + 6, cut.length, 0.9 if flared else 0.35)
        drape = float(np.clip(cut.hem_width * 1.6, 0, 1)) if cut.kind == "flared skirt" else 0.0
        return Tube(body, heights, half, folds, drape, cut.rise + 4, waves, cut.pleats)

    def _leg(self, side: int, rng: np.random.Generator) -> Sleeve:
        cut, body = self.cut, self.body
        out = (-1, 1)[side]
        _, knee, ankle = body.legs[side]
        thigh_w, knee_w, _, ankle_w = body.leg_widths
        waist = body.frame.to_world(np.array([out * self.waist / 2, cut.rise]))
        seat = body.frame.to_world(np.array([out * self.hips / 2, HIPS]))
        joints = np.stack([waist, 0.5 * waist + 0.5 * seat, seat, seat + 0.2 * (knee - seat), knee, ankle])
        total = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(joints, axis=0), axis=1))])
        loose = 0.2 + 7.0 * cut.ease
        straight = knee_w + 0.6 + loose
        hem = (ankle_w + 1.0 + loose) * cut.hem_width if cut.kind != "shorts" else None
        half = [
            self.waist / 2 + 0.4,
            0.25 * (self.waist + self.hips) + 0.5,
            self.hips / 2 + 0.5,
            max(thigh_w + 0.4 + 0.55 * loose, self.hips / 2 - 0.6),
            straight if hem is not None else (thigh_w + 0.6 * loose) * cut.hem_width,
            max(hem, ankle_w + 0.6) if hem is not None else (thigh_w + 0.6 * loose) * cut.hem_width,
        ]
        # Wide legs hang outward, so that they stay apart.
        middle = 0.5 * (body.legs[0] + body.legs[1])[:, 0]
        for joint, row, width in ((4, 1, half[4]), (5, 2, half[5])):
            room = out * (joints[joint, 0] - middle[row])
            joints[joint, 0] += out * float(np.clip(width + 0.5 - room, 0, 5))
        full = Limb.through(joints, (total / total[-1]).tolist(), half)
        # The hem lies where the upright leg would reach that height.
        fraction = (cut.length - HIPS) / (176.0 - HIPS)
        end = total[2] + fraction * (total[-1] - total[2])
        limb = full.cut(0, end)
        bare = np.interp(limb.along, full.along, self._bare(full, body.leg(side)))
        limb.half_width = np.maximum(limb.half_width, np.where(limb.along > total[3], bare + 0.5, 0))
        bend = total[4]
        folds = limb_folds(rng, float(limb.half_width.mean()), limb.length, bend, 0.1 + cut.ease)
        extra = [
            (out * -6, total[3] - 4, out * 8, total[3] + rng.uniform(4, 14), 1.8, 0.5 * rng.choice([-1, 1]))
            for _ in range(2)
        ]
        folds = Folds(np.concatenate([folds.lines, np.array(extra)]))
        return Sleeve(
            body, limb, folds, (out * self.hips / 2, cut.rise), crease=cut.kind == "trousers", faded=cut.kind == "jeans"
        )

    @staticmethod
    def _bare(full: Limb, leg: Limb) -> np.ndarray:
        return np.interp(full.spine[:, 1], leg.spine[:, 1], leg.half_width)

    def shapes(self) -> list[np.ndarray]:
        if self.cut.skirt:
            return [self._skirt_outline()]
        return [quad for leg in self.legs for quad in leg.limb.shape()]

    def _skirt_outline(self) -> np.ndarray:
        heights = np.linspace(self.cut.rise, self.cut.length, 32)[:-1]
        right = np.stack([self.tube.half_width(heights), heights], axis=1)
        return self.body.frame.to_world(np.concatenate([right, self.tube.hem(0.0), right[::-1] * (-1, 1)]))

    def paint(self, canvas: Canvas) -> None:
        if self.cut.skirt:
            self._paint_skirt(canvas)
        else:
            self._paint_trousers(canvas)
        self._paint_waistband(canvas)

    def _paint_skirt(self, canvas: Canvas) -> None:
        cut, tube, place = self.cut, self.tube, self.body.frame.to_world
        canvas.paint([self._skirt_outline()], tube.paint(self.cloth), self.label)
        if cut.kind == "pencil skirt":
            for side in (-1, 1):
                dart = np.array([(side * 9, cut.rise + 4), (side * 10, cut.rise + 13)], float)
                self._line(canvas, tube.turned(dart), 0.28, 0.8)
        if cut.slit:
            slit = np.array([(8, cut.length - 20), (8.6, cut.length + 2)], float)
            self._line(canvas, tube.turned(slit), 0.6, 1.4)
        self._line(canvas, place(tube.hem(0.0) * (0.99, 1) - (0, 2.4)), 0.25, 0.7)

    def _paint_trousers(self, canvas: Canvas) -> None:
        cut, tube = self.cut, self.tube
        first = 0 if self.body.yaw > 0 else 1
        for side in (first, 1 - first):
            leg = self.legs[side]
            if side != first and not self.body.flat:
                edge = [
                    moved(quad, 0.8 * (1 if side == 0 else -1), 0.6)
                    for quad in leg.limb.shape()[len(leg.limb.spine) // 2 :]
                ]
                canvas.paint(edge, (24, 20, 34), opacity=0.22, only=[self.label], blur=1.2)
            canvas.paint(leg.limb.shape(), leg.paint(self.cloth), self.label)
            band = 3.2 if cut.kind != "leggings" else 1.2
            end = leg.limb.cut(leg.limb.length - band, leg.limb.length)
            tangent = end.spine[-1] - end.spine[0]
            normal = np.array([-tangent[1], tangent[0]]) / (np.linalg.norm(tangent) + 1e-9)
            half = normal * end.half_width[0]
            self._line(canvas, np.stack([end.spine[0] - half, end.spine[0] + half]), 0.3, 0.9)
        crotch = np.array([(0, cut.rise), (0, CROTCH + 5)], float)
        self._line(canvas, tube.turned(crotch), 0.32, 0.9)
        if cut.kind == "leggings":
            return
        if cut.kind in ("jeans", "shorts", "trousers"):
            fly = np.array(
                [(0, cut.rise + 5), (3.4, cut.rise + 5.5), (3.2, cut.rise + 15), (0, cut.rise + 18.5)], float
            )
            self._line(canvas, tube.turned(fly), 0.26, 0.8)
        for side in (-1, 1):
            hip = tube.half_width(cut.rise + 12)
            pocket = np.array(
                [
                    (side * 0.52 * self.waist, cut.rise + 4.5),
                    (side * 0.62 * hip, cut.rise + 9),
                    (side * 0.98 * hip, cut.rise + 13),
                ],
                float,
            )
            if cut.kind == "trousers":
                pocket = np.array(
                    [(side * 0.66 * self.waist, cut.rise + 4.5), (side * 0.97 * hip, cut.rise + 17)], float
                )
            self._line(canvas, tube.turned(pocket), 0.34, 1.0)

    def _paint_waistband(self, canvas: Canvas) -> None:
        cut, tube = self.cut, self.tube
        u = np.linspace(-1, 1, 15)
        band = 4.2 if cut.kind != "leggings" else 5.5
        droop = (0.0 if self.body.flat else 1.3) * (1 - u * u)
        upper = np.stack([u * tube.half_width(np.full(15, cut.rise)), cut.rise + droop - 0.3], axis=1)
        lower = np.stack([u * tube.half_width(np.full(15, cut.rise + band)), cut.rise + band + droop], axis=1)
        place = self.body.frame.to_world
        canvas.paint([place(np.concatenate([upper, lower[::-1]]))], tube.paint(self.cloth.plain(), 0.95), self.label)
        self._line(canvas, place(lower), 0.34, 1.0)
        if cut.kind in ("jeans", "shorts", "trousers"):
            x, y = tube.turned(np.array([[1.2, cut.rise + 2.3]]))[0]
            canvas.paint(
                [ellipse(x, y, 0.95, 0.95, steps=12)],
                (186, 170, 130) if cut.kind != "trousers" else self.line,
                opacity=0.9,
            )
            for side in (-1, 1):
                loop = np.array(
                    [(side * 0.55 * self.waist, cut.rise - 0.2), (side * 0.55 * self.waist, cut.rise + band + 0.4)],
                    float,
                )
                self._line(canvas, tube.turned(loop), 0.5, 0.8)

    def _line(self, canvas: Canvas, points: np.ndarray, half_width: float, strength: float) -> None:
        canvas.paint(ribbon(points, half_width), self.line, opacity=self.line_strength * strength, only=[self.label])

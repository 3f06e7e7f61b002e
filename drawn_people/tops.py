"""Upper-body garments and dresses, worn or flat: the same drawing on another body."""

import numpy as np

from drawn_people.body import HIPS, Body
from drawn_people.canvas import Canvas, ellipse, moved, normals, ribbon, spline
from drawn_people.cuts import TopCut
from drawn_people.folds import Folds, hanging_folds, limb_folds, torso_folds
from drawn_people.limbs import Limb
from drawn_people.palettes import lightness, shade
from drawn_people.panels import Cloth, Sleeve, Tube, profile

ARMPIT = 21.0


class Top:
    """One upper-body garment or dress on one body.

    Args:
        trim: Colour of collar, cuffs and bands.
        rng: For folds only; the measures are the cut's.
        label: Written for every pixel of it.
    """

    def __init__(self, cut: TopCut, body: Body, cloth: Cloth, trim: np.ndarray, rng: np.random.Generator, label: int):
        self.cut, self.body, self.cloth, self.trim, self.label = cut, body, cloth, trim, label
        self.chest = body.chest * (1.02 + 0.3 * cut.ease) + 0.4
        self.tube = self._tube(rng)
        self.sleeves = [self._sleeve(side, rng) for side in (0, 1)] if cut.sleeve else []
        dark = lightness(cloth.texture.colors[0]) < 75
        self.line = np.array((200, 200, 205) if dark else (24, 20, 28), np.float32)
        self.line_strength = 0.3 if dark else 0.36

    # Measures

    def _tube(self, rng: np.random.Generator) -> Tube:
        cut, body = self.cut, self.body
        fitted = body.waist * (1.04 + 0.12 * cut.ease)
        waist = self.chest + cut.taper * (fitted - self.chest)
        hips = max(body.hip * (1.03 + 0.12 * cut.ease), waist + 0.25 * cut.flare * (HIPS - cut.waist_at))
        if cut.taper < 0.3:
            hips = max(hips, 0.97 * self.chest)
        hips += 0.3 * cut.flare * (HIPS - cut.waist_at)
        low = max(cut.length, 100.0)
        hem = hips + cut.flare * (low - HIPS)
        knots = [
            (6, self.chest),
            (ARMPIT, self.chest),
            (cut.waist_at, waist),
            (HIPS, hips),
            (low, hem),
            (low + 20, hem),
        ]
        heights, half = profile(knots, cut.length)
        if cut.hem == "ribbed":  # the band gathers the cloth
            half = half * (1 - (0.03 + 0.08 * cut.ease) * np.clip((heights - cut.length + 7) / 4, 0, 1))
        if cut.dress and cut.flare > 0.12:
            folds = hanging_folds(rng, float(half.max()), cut.waist_at + 2, cut.length, 0.9)
            more = torso_folds(rng, self.chest, 10, cut.waist_at + 6, 0.7)
            folds = Folds(np.concatenate([folds.lines, more.lines]))
        else:
            folds = torso_folds(rng, self.chest, 12, cut.length, 0.55 + 0.5 * cut.ease)
        waves = (float(rng.uniform(3.4, 6.2)), float(rng.uniform(0, 6.28)))
        drape = cut.skirt_folds if cut.dress else float(np.clip(cut.flare * 1.5 - 0.2, 0, 0.6))
        return Tube(body, heights, half, folds, drape, cut.waist_at + 2, waves)

    def _sleeve(self, side: int, rng: np.random.Generator) -> Sleeve:
        cut, body = self.cut, self.body
        upper, elbow, wrist = body.arm_widths
        ease = 0.4 + 2.2 * cut.sleeve_ease + 1.2 * cut.ease
        start = upper + 0.6 + 0.9 * cut.ease
        full = Limb.through(
            body.arms[side],
            [0, 0.22, 0.5, 0.8, 1],
            [start, upper + 0.3 + 0.8 * ease, elbow + 0.5 + ease, elbow + ease * 0.95, wrist + 0.9 + 0.8 * ease],
        )
        limb = full.cut(0, full.length * cut.sleeve)
        t = limb.along / limb.length
        limb.half_width = np.maximum(
            limb.half_width * (1 + (cut.cuff - 1) * t**2.2),
            np.interp(limb.along, full.along, body.arm(side).half_width) + 0.5,
        )
        folds = limb_folds(
            rng, float(limb.half_width.mean()), limb.length, 0.52 * full.length, 0.5 + 0.5 * cut.sleeve_ease
        )
        return Sleeve(body, limb, folds, shift=((-1, 1)[side] * body.shoulder * 0.9, 6.0))

    def _shoulder_y(self, x: float) -> float:
        return -0.4 + 6.2 * np.clip((x - 5) / (self.body.shoulder - 6), 0, 1.15)

    def _half_outline(self, depth: float) -> tuple[np.ndarray, np.ndarray]:
        """Upper edge and side of the right half, upright: neckline from the middle out, then shoulder and armhole."""
        cut, n = self.cut, self.cut.neckline
        w = cut.neck_width
        if n == "off-shoulder":
            top = spline([(0, depth), (10, depth - 1.0), (self.body.shoulder + 0.6, 9.5)], closed=False)
            return top, np.array([(self.body.shoulder, 12.0), (self.chest, ARMPIT)])
        side_y = self._shoulder_y(w)
        if n == "strap":
            top = spline([(0, depth), (w * 0.5, depth - 0.8), (w + 0.5, depth - 5)], closed=False)
            return top, spline([(w + 2.5, depth - 4), (self.chest * 0.82, 17), (self.chest, ARMPIT + 1)], closed=False)
        if n in ("v", "lapel", "shirt collar"):
            top = np.array([(0, depth), (0.55 * w, side_y + 0.42 * (depth - side_y)), (w, side_y)])
        elif n == "square":
            top = np.array([(0, depth), (w * 0.86, depth), (w, side_y)])
        else:
            t = np.linspace(0, np.pi / 2, 9)
            top = np.stack([w * np.sin(t), side_y + (depth - side_y) * np.cos(t)], axis=1)
        full = self.body.shoulder + 0.2 + 0.8 * cut.ease
        tip = w + 2.5 + cut.strap * (full - w - 2.5) if cut.strap < 1 else full
        inward = (tip - 1.5 if cut.strap < 1 else tip - 0.6, 12.5)
        arm = [(tip, self._shoulder_y(tip)), inward, (self.chest * 0.96, ARMPIT - 3), (self.chest, ARMPIT)]
        return top, spline(arm, closed=False)

    def _outline(self, depth: float) -> np.ndarray:
        top, arm = self._half_outline(depth)
        tube = self.tube
        bottom = tube.heights[-1] - self.cut.hem_curve
        heights = np.linspace(ARMPIT, bottom, 30)[1:-1]
        side = np.stack([tube.half_width(heights), heights], axis=1)
        right = np.concatenate([top, arm, side])
        left = right[::-1] * (-1, 1)
        return np.concatenate([right, tube.hem(self.cut.hem_curve), left])

    # Painting, in the order in which a person is painted: back, behind arms, front, front arms

    def shapes(self) -> list[np.ndarray]:
        """Everything that it covers: for measuring."""
        shapes = [self.body.frame.to_world(self._outline(1.0))]
        for side in range(len(self.sleeves)):
            shapes += self._sleeve_shape(side)
        if self.cut.neckline == "hooded":
            shapes.append(ellipse(0, -5, 15, 12))
        if self.cut.neckline == "high":
            shapes.append(ellipse(0, -4, 8, 6))
        return shapes

    def paint_back(self, canvas: Canvas) -> None:
        """The inside of the back, seen through the neckline."""
        cut = self.cut
        if cut.neckline == "off-shoulder":
            return
        place = self.body.frame.to_world
        inside = shade(self.cloth.texture.colors[0], 0.62)
        if cut.neckline == "hooded":
            hood = spline([(-12, 4), (-15, -6), (-8, -15), (8, -15), (15, -6), (12, 4)])
            canvas.paint([place(hood)], self.tube.paint(self.cloth, 0.86), self.label)
            canvas.paint([place(spline([(-9, 4), (-10, -5), (0, -10), (10, -5), (9, 4)]))], inside, self.label)
        if cut.neckline == "strap":
            if self.body.flat:
                low = [(-cut.neck_width, cut.neck_depth), (cut.neck_width, cut.neck_depth), (0, cut.neck_depth + 3)]
                canvas.paint([place(np.array(low))], inside, self.label)
            return
        w, y = cut.neck_width, self._shoulder_y(cut.neck_width)
        back = np.array([(-w - 0.6, y), (-w * 0.6, y + 1.1), (0, y + 1.6), (w * 0.6, y + 1.1), (w + 0.6, y)])
        below = np.array([(w + 1, cut.neck_depth + 4), (-w - 1, cut.neck_depth + 4)])
        canvas.paint([place(np.concatenate([back, below]))], inside, self.label)
        canvas.paint(ribbon(place(back), 0.9), shade(self.trim, 0.82), self.label)
        if self.body.flat:
            canvas.paint(
                [place(np.array([(-1.6, y + 3.2), (1.6, y + 3.2), (1.6, y + 5), (-1.6, y + 5)]))],
                (236, 234, 230),
                opacity=0.8,
                only=[self.label],
            )

    def paint_front(self, canvas: Canvas) -> None:
        cut, tube = self.cut, self.tube
        outline = tube.body.frame.to_world(self._outline(cut.neck_depth))
        if cut.neckline == "strap":
            for side in (-1, 1):
                strap = np.array(
                    [
                        (side * cut.neck_width, cut.neck_depth - 4),
                        (side * (cut.neck_width - 0.5), self._shoulder_y(cut.neck_width) - 0.6),
                    ]
                )
                canvas.paint(ribbon(tube.body.frame.to_world(strap), 1.1), tube.paint(self.cloth, 0.95), self.label)
        canvas.paint([outline], tube.paint(self.cloth), self.label)
        self._paint_hem(canvas)
        self._paint_neckline(canvas)
        self._paint_closure(canvas)
        self._paint_pockets(canvas)

    def covers_arm(self, side: int) -> float:
        """Distance from the shoulder up to which the bare arm can be left out."""
        if not self.sleeves or self.cut.neckline == "off-shoulder":
            return 0.0
        return min(9.0, 0.5 * self.sleeves[side].limb.length)

    def cast_shadow(self, canvas: Canvas) -> None:
        """Below the hem, on what is worn under it."""
        hem = self.body.frame.to_world(moved(self.tube.hem(self.cut.hem_curve), 0, 1.2))
        canvas.paint(ribbon(hem, 2.0), (20, 16, 30), opacity=0.4, only=[5, 6], blur=1.5)

    def paint_sleeve(self, canvas: Canvas, side: int) -> None:
        if not self.sleeves:
            return
        cut, sleeve = self.cut, self.sleeves[side]
        limb = sleeve.limb
        shape = self._sleeve_shape(side)
        if not self.body.flat:
            canvas.paint(
                [moved(p, -0.8 * np.sign(self.body.light), 1.2) for p in shape],
                (30, 24, 40),
                opacity=0.2,
                only=[self.label, 5, 6, 7],
                blur=1.6,
            )
        canvas.paint(shape, sleeve.paint(self.cloth), self.label)
        if cut.neckline != "off-shoulder":
            self._line(canvas, self._armhole(side), 0.32, 0.8)
        ribbed = cut.hem == "ribbed" and cut.sleeve > 0.6
        band = 4.5 if ribbed else 2.0
        if cut.kind in ("shirt", "shirt dress", "jacket", "blouse") and cut.sleeve > 0.58:
            band = 5.0
        end = limb.cut(max(limb.length - band, 0), limb.length)
        if ribbed or self.cut.kind == "shirt":
            canvas.paint(
                end.shape(), Sleeve(self.body, end, Folds(np.zeros((0, 6)))).paint(self._plain(self.trim)), self.label
            )
        if ribbed:
            for u in np.linspace(-0.7, 0.7, 5):
                normal = np.stack([-(end.spine[1] - end.spine[0])[1:], (end.spine[1] - end.spine[0])[:1]], axis=1)[0]
                normal = normal / (np.linalg.norm(normal) + 1e-9)
                self._line(canvas, end.spine[[0, -1]] + u * end.half_width[0] * normal, 0.25, 0.5)
        cross = end.spine[0], end.spine[1] - end.spine[0]
        normal = np.array([-cross[1][1], cross[1][0]]) / (np.linalg.norm(cross[1]) + 1e-9)
        self._line(
            canvas, np.stack([cross[0] - normal * end.half_width[0], cross[0] + normal * end.half_width[0]]), 0.3, 0.8
        )

    def _sleeve_shape(self, side: int) -> list[np.ndarray]:
        """The tube, joined to the armhole by a cap, so that its upper edge goes on from the shoulder's."""
        limb = self.sleeves[side].limb
        if self.cut.neckline == "off-shoulder":
            return limb.cut(min(5.0, 0.4 * limb.length), limb.length).shape()
        rest = limb.cut(min(9.0, 0.5 * limb.length), limb.length)
        edges = np.stack([rest.spine + sign * normals(rest.spine) * rest.half_width[:, None] for sign in (1, -1)])
        outer, inner = edges if side == 0 else edges[::-1]
        _, arm = self._half_outline(self.cut.neck_depth)
        hole = self.body.frame.to_world(arm * ((-1, 1)[side], 1))
        cap = spline(
            [hole[0], 0.5 * (hole[0] + outer[0]) + 0.10 * (outer[0] - inner[0]), outer[0], outer[1]], closed=False
        )
        return [np.concatenate([cap, inner[1::-1], hole[::-1]]), *rest.shape()]

    def _armhole(self, side: int) -> np.ndarray:
        _, arm = self._half_outline(self.cut.neck_depth)
        keep = arm[: max(3, int(len(arm) * 0.8))]
        return self.body.frame.to_world(keep * ((-1, 1)[side], 1))

    # Details

    def _plain(self, color: np.ndarray) -> Cloth:
        from dataclasses import replace

        return Cloth(replace(self.cloth.texture, pattern="plain", colors=[color]), self.cloth.pixel)

    def _line(self, canvas: Canvas, points: np.ndarray, half_width: float = 0.3, strength: float = 1.0) -> None:
        """A seam, in figure coordinates."""
        canvas.paint(ribbon(points, half_width), self.line, opacity=self.line_strength * strength, only=[self.label])

    def _paint_hem(self, canvas: Canvas) -> None:
        cut, tube = self.cut, self.tube
        hem = tube.hem(cut.hem_curve)
        place = self.body.frame.to_world
        if cut.hem == "ribbed":
            upper = moved(hem, 0, -5.5)
            half = tube.half_width(upper[:, 1])
            upper[:, 0] = np.clip(upper[:, 0], -half, half)
            canvas.paint(
                [place(np.concatenate([hem, upper[::-1]]))], tube.paint(self._plain(self.trim), 0.97), self.label
            )
            for a, b in zip(hem[1:-1], upper[1:-1], strict=True):
                self._line(canvas, place(np.stack([a, b])), 0.28, 0.55)
            self._line(canvas, place(upper), 0.3, 0.8)
        else:
            self._line(canvas, place(hem * (0.99, 1) - (0, 2.2)), 0.25, 0.7)
        if cut.seam:
            u = np.linspace(-1, 1, 17)
            y = cut.waist_at + (0 if self.body.flat else 1.6) * (1 - u * u)
            self._line(canvas, place(np.stack([u * tube.half_width(y), y], axis=1)), 0.45, 1.1)

    def _paint_neckline(self, canvas: Canvas) -> None:
        cut, tube, n = self.cut, self.tube, self.cut.neckline
        top, _ = self._half_outline(cut.neck_depth)
        edge = np.concatenate([top[::-1] * (-1, 1), top[1:]])
        place = self.body.frame.to_world
        trim = tube.paint(self._plain(self.trim), 0.96)
        if n in ("crew", "v", "scoop", "boat", "square", "strap", "off-shoulder"):
            width = {"crew": 1.3, "off-shoulder": 1.7}.get(n, 0.9)
            canvas.paint(ribbon(place(moved(edge, 0, 0.5)), width), trim, self.label)
            self._line(canvas, place(moved(edge, 0, 0.5 + width)), 0.25, 0.8)
        elif n == "high":
            w, y = cut.neck_width, self._shoulder_y(cut.neck_width)
            neck = spline(
                [(-w - 0.5, y + 1), (-w + 0.3, -8), (0, -6.8), (w - 0.3, -8), (w + 0.5, y + 1), (0, cut.neck_depth + 3)]
            )
            canvas.paint([place(neck)], tube.paint(self.cloth, 0.98), self.label)
            self._line(canvas, place(spline([(-w, y), (0, cut.neck_depth + 2), (w, y)], closed=False)), 0.35, 0.8)
            self._line(canvas, place(spline([(-w, -5), (0, -3.6), (w, -5)], closed=False)), 0.3, 0.7)
        elif n == "hooded":
            w, y = cut.neck_width, self._shoulder_y(cut.neck_width)
            roll = spline(
                [(-w - 3, y - 4), (-w + 0.5, y + 3), (0, cut.neck_depth + 1.5), (w - 0.5, y + 3), (w + 3, y - 4)],
                closed=False,
            )
            width = np.interp(np.linspace(0, 1, len(roll)), [0, 0.5, 1], [3.6, 2.4, 3.6])
            canvas.paint(ribbon(place(roll), width), tube.paint(self.cloth, 0.95), self.label)
            self._line(canvas, place(moved(roll, 0, 2.0)), 0.35, 1.0)
            if not cut.closure or self.body.flat:
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
                        shade(self.trim, 1.25) if lightness(self.trim) < 150 else shade(self.trim, 0.6),
                        self.label,
                    )
        else:
            self._paint_collar(canvas, trim)

    def _paint_collar(self, canvas: Canvas, trim) -> None:
        cut = self.cut
        w, y, d = cut.neck_width, self._shoulder_y(cut.neck_width), cut.neck_depth
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
            shape = self.body.frame.to_world(points)
            canvas.paint([moved(shape, 0, 0.9)], (24, 20, 28), opacity=0.25, only=[self.label], blur=0.8)
            canvas.paint([shape], trim, self.label)
            self._line(canvas, np.concatenate([shape, shape[:1]]), 0.28, 1.0)

    def _paint_closure(self, canvas: Canvas) -> None:
        cut, tube = self.cut, self.tube
        if not cut.closure:
            return
        bottom = cut.length - 0.4
        start = cut.neck_depth + (2 if cut.neckline == "lapel" else 0.5)
        heights = np.linspace(start, bottom, 24)
        middle = np.stack([np.zeros(24), heights], axis=1)
        if cut.closure == "zip":
            canvas.paint(ribbon(tube.turned(middle), 1.0), shade(self.trim, 0.72), self.label)
            canvas.paint(ribbon(tube.turned(middle), 0.4), (196, 198, 202), self.label)
            return
        for x in (-2.0, 2.0):
            self._line(canvas, tube.turned(moved(middle, x, 0)), 0.28, 0.9)
        color = (232, 228, 220) if lightness(self.cloth.texture.colors[0]) < 120 else (92, 76, 66)
        gap = 8.5 if cut.kind != "jacket" else 12.0
        for height in np.arange(start + 3.5, bottom - 3, gap):
            x, y = tube.turned(np.array([[0.0, height]]))[0]
            canvas.paint([ellipse(x, y + 0.3, 1.15, 1.15, steps=12)], (20, 18, 22), opacity=0.35)
            canvas.paint([ellipse(x, y, 1.0, 1.0, steps=12)], color)

    def _paint_pockets(self, canvas: Canvas) -> None:
        cut, tube = self.cut, self.tube
        if cut.pocket == "chest":
            pocket = np.array([(6, 25), (14, 25), (14, 33), (10, 35.5), (6, 33), (6, 25)], float)
            self._line(canvas, tube.turned(pocket), 0.3, 1.1)
        elif cut.pocket == "kangaroo":
            low = cut.length - 7
            pocket = np.array(
                [(-13, low), (-13, low - 6), (-8, low - 16), (8, low - 16), (13, low - 6), (13, low)], float
            )
            canvas.paint([tube.turned(pocket)], tube.paint(self.cloth, 0.96), self.label, only=[self.label])
            self._line(canvas, tube.turned(np.concatenate([pocket, pocket[:1]])), 0.35, 1.1)
        elif cut.pocket == "side":
            low = min(cut.length - 8, 74)
            for side in (-1, 1):
                self._line(canvas, tube.turned(np.array([(side * 8, low - 9), (side * 14, low)], float)), 0.5, 1.1)

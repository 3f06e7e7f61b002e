"""Upper-body garments and dresses, worn or flat: the same drawing on another body."""

import numpy as np

from drawn_people.body import HIPS, Body
from drawn_people.canvas import Canvas, ellipse, moved, normals, ribbon, spline
from drawn_people.cuts import TopCut
from drawn_people.folds import Folds, hanging_folds, limb_folds, torso_folds
from drawn_people.limbs import Limb
from drawn_people.palettes import lightness, shade
from drawn_people.panels import Cloth, Sleeve, Tube, profile

ARMPIT = 21.0  # of a slim garment; loose ones have lower armholes
NARROWEST = 0.68  # waist of a fully tapered garment, as a part of its chest


class Top:
    """One upper-body garment or dress on one body.

    Args:
        trim: Colour of collar, cuffs and bands.
        rng: For folds only; the measures are the cut's.
        label: Written for every pixel of it.
    """

    def __init__(self, cut: TopCut, body: Body, cloth: Cloth, trim: np.ndarray, rng: np.random.Generator, label: int):
        self.cut, self.body, self.cloth, self.trim, self.label = cut, body, cloth, trim, label
        self.chest = body.chest * (1.0 + 0.52 * cut.ease) + 0.4
        self.armpit = ARMPIT + 4.0 * cut.ease
        self.tube = self._tube(rng)
        self.sleeves = [self._sleeve(side, rng) for side in (0, 1)] if cut.sleeve else []
        dark = lightness(cloth.texture.colors[0]) < 75
        self.line_color = np.array((200, 200, 205) if dark else (24, 20, 28), np.float32)
        self.line_strength = 0.3 if dark else 0.36

    # Measures

    def _tube(self, rng: np.random.Generator) -> Tube:
        cut, body = self.cut, self.body
        waist = max(self.chest * (1 - (1 - NARROWEST) * cut.taper), 1.02 * body.waist)
        hips = max(body.hip * (1.01 + 0.34 * cut.ease), waist + 0.25 * cut.flare * (HIPS - cut.waist_at))
        if cut.taper < 0.3:
            hips = max(hips, 0.97 * self.chest)
        hips += 0.3 * cut.flare * (HIPS - cut.waist_at)
        low = max(cut.length, 100.0)
        hem = hips + cut.flare * (low - HIPS)
        knots = [
            (6, self.chest),
            (self.armpit, self.chest),
            (cut.waist_at, waist),
            (HIPS, hips),
            (low, hem),
            (low + 20, hem),
        ]
        heights, half = profile(knots, cut.length)
        if cut.hem == "ribbed":  # the band gathers the cloth
            half = half * (1 - (0.05 + 0.08 * cut.ease) * np.clip((heights - cut.length + 7) / 4, 0, 1))
        if cut.dress and cut.flare > 0.12:
            folds = hanging_folds(rng, float(half.max()), cut.waist_at + 2, cut.length, 0.9)
            more = torso_folds(rng, self.chest, 10, cut.waist_at + 6, 0.2 + cut.ease)
            folds = Folds(np.concatenate([folds.lines, more.lines]))
        else:
            folds = torso_folds(rng, self.chest, 12, cut.length, 0.1 + 1.3 * cut.ease)
        waves = (float(rng.uniform(3.4, 6.2)), float(rng.uniform(0, 6.28)))
        drape = cut.skirt_folds if cut.dress else float(np.clip(cut.flare * 1.5 - 0.2, 0, 0.6))
        return Tube(body, heights, half, folds, drape, cut.waist_at + 2, waves)

    def _sleeve(self, side: int, rng: np.random.Generator) -> Sleeve:
        cut, body = self.cut, self.body
        upper, elbow, wrist = body.arm_widths
        ease = 0.3 + 1.0 * cut.sleeve_ease + 4.0 * cut.ease
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
            rng,
            float(limb.half_width.mean()),
            limb.length,
            0.52 * full.length,
            0.2 + 0.4 * cut.sleeve_ease + 0.5 * cut.ease,
        )
        return Sleeve(body, limb, folds, shift=((-1, 1)[side] * body.shoulder * 0.9, 6.0))

    def shoulder_y(self, x: float) -> float:
        shoulder = self.body.shoulder
        return -0.4 + 6.2 * np.clip((x - 5) / (shoulder - 6), 0, 1.15) + 0.9 * np.maximum(x - shoulder - 0.5, 0)

    def half_outline(self, depth: float) -> tuple[np.ndarray, np.ndarray]:
        """The right half's upper edges, upright: the neckline from the middle out, then shoulder and armhole."""
        cut, n = self.cut, self.cut.neckline
        w = cut.neck_width
        if n == "off-shoulder":
            top = spline([(0, depth), (10, depth - 1.0), (self.body.shoulder + 0.6, 9.5)], closed=False)
            return top, np.array([(self.body.shoulder, 12.0), (self.chest, self.armpit)])
        side_y = self.shoulder_y(w)
        if n == "strap":
            top = spline([(0, depth), (w * 0.5, depth - 0.8), (w + 0.5, depth - 5)], closed=False)
            return top, spline(
                [(w + 2.5, depth - 4), (self.chest * 0.82, 17), (self.chest, self.armpit + 1)], closed=False
            )
        if n in ("v", "lapel", "shirt collar"):
            top = np.array([(0, depth), (0.55 * w, side_y + 0.42 * (depth - side_y)), (w, side_y)])
        elif n == "square":
            top = np.array([(0, depth), (w * 0.86, depth), (w, side_y)])
        else:
            t = np.linspace(0, np.pi / 2, 9)
            top = np.stack([w * np.sin(t), side_y + (depth - side_y) * np.cos(t)], axis=1)
        full = self.body.shoulder + 0.1 + 3.2 * cut.ease  # loose garments' shoulders drop down the arms
        tip = w + 2.5 + cut.strap * (full - w - 2.5) if cut.strap < 1 else full
        inward = (tip - 1.5 if cut.strap < 1 else tip - 0.6, 12.5)
        arm = [(tip, self.shoulder_y(tip)), inward, (self.chest * 0.96, self.armpit - 3), (self.chest, self.armpit)]
        return top, spline(arm, closed=False)

    def _outline(self, depth: float) -> np.ndarray:
        top, arm = self.half_outline(depth)
        tube = self.tube
        bottom = tube.heights[-1] - self.cut.hem_curve
        heights = np.linspace(self.armpit, bottom, 30)[1:-1]
        side = np.stack([tube.half_width(heights), heights], axis=1)
        right = np.concatenate([top, arm, side])
        left = right[::-1] * (-1, 1)
        return np.concatenate([right, tube.hem(self.cut.hem_curve), left])

    # Painting, in the order in which a person is painted: back, behind arms, front, front arms

    def shapes(self) -> list[np.ndarray]:
        """All its shapes, to measure what it covers."""
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
        w, y = cut.neck_width, self.shoulder_y(cut.neck_width)
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

    def paint_cloth(self, canvas: Canvas) -> None:
        """The cloth of the front; `trimmings.paint_front` finishes it."""
        cut, tube = self.cut, self.tube
        outline = tube.body.frame.to_world(self._outline(cut.neck_depth))
        if cut.neckline == "strap":
            for side in (-1, 1):
                strap = np.array(
                    [
                        (side * cut.neck_width, cut.neck_depth - 4),
                        (side * (cut.neck_width - 0.5), self.shoulder_y(cut.neck_width) - 0.6),
                    ]
                )
                canvas.paint(ribbon(tube.body.frame.to_world(strap), 1.1), tube.paint(self.cloth, 0.95), self.label)
        canvas.paint([outline], tube.paint(self.cloth), self.label)

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
                only=[self.label, 4, 5, 6, 7],
                blur=1.6,
            )
        canvas.paint(shape, sleeve.paint(self.cloth), self.label)
        if cut.neckline != "off-shoulder":
            self.line(canvas, self._armhole(side), 0.32, 0.8)
        ribbed = cut.hem == "ribbed" and cut.sleeve > 0.6
        band = 4.5 if ribbed else 2.0
        if cut.kind in ("shirt", "shirt dress", "jacket", "coat", "blouse") and cut.sleeve > 0.58:
            band = 5.0
        end = limb.cut(max(limb.length - band, 0), limb.length)
        if ribbed or self.cut.kind == "shirt":
            canvas.paint(
                end.shape(),
                Sleeve(self.body, end, Folds(np.zeros((0, 6)))).paint(self.cloth.plain(self.trim)),
                self.label,
            )
        step = end.spine[1] - end.spine[0]
        across = end.half_width[0] * np.array([-step[1], step[0]]) / (np.linalg.norm(step) + 1e-9)
        if ribbed:
            for u in np.linspace(-0.7, 0.7, 5):
                self.line(canvas, end.spine[[0, -1]] + u * across, 0.25, 0.5)
        self.line(canvas, np.stack([end.spine[0] - across, end.spine[0] + across]), 0.3, 0.8)

    def _sleeve_shape(self, side: int) -> list[np.ndarray]:
        """The tube, joined to the armhole by a cap, so that its upper edge continues the shoulder's."""
        limb = self.sleeves[side].limb
        if self.cut.neckline == "off-shoulder":
            return limb.cut(min(5.0, 0.4 * limb.length), limb.length).shape()
        rest = limb.cut(min(9.0, 0.5 * limb.length), limb.length)
        edges = np.stack([rest.spine + sign * normals(rest.spine) * rest.half_width[:, None] for sign in (1, -1)])
        outer, inner = edges if side == 0 else edges[::-1]
        _, arm = self.half_outline(self.cut.neck_depth)
        hole = self.body.frame.to_world(arm * ((-1, 1)[side], 1))
        cap = spline(
            [hole[0], 0.5 * (hole[0] + outer[0]) + 0.10 * (outer[0] - inner[0]), outer[0], outer[1]], closed=False
        )
        return [np.concatenate([cap, inner[1::-1], hole[::-1]]), *rest.shape()]

    def _armhole(self, side: int) -> np.ndarray:
        _, arm = self.half_outline(self.cut.neck_depth)
        keep = arm[: max(3, int(len(arm) * 0.8))]
        return self.body.frame.to_world(keep * ((-1, 1)[side], 1))

    def line(self, canvas: Canvas, points: np.ndarray, half_width: float = 0.3, strength: float = 1.0) -> None:
        """A seam, in figure coordinates."""
        canvas.paint(
            ribbon(points, half_width), self.line_color, opacity=self.line_strength * strength, only=[self.label]
        )

"""Open jackets, cardigans and coats over a top or a dress.

An open front is the closed one, seen where its two panels hang: so patterns, pockets and hems agree with the product
picture, which shows the garment closed.
"""

import numpy as np

from drawn_people.body import Body
from drawn_people.bottoms import Bottom
from drawn_people.canvas import Canvas, moved, ribbon, spline
from drawn_people.cuts import TopCut, between
from drawn_people.garments import OUTER, Design, draw_design
from drawn_people.palettes import shade
from drawn_people.panels import Cloth
from drawn_people.tops import Top
from drawn_people.trimmings import paint_front

PLAIN_OUTER_SHARE = 0.7
_UNDER = ("t-shirt", "tank top", "blouse", "shirt", "sweater")  # what goes under another garment
_KINDS = {  # share, necklines, sleeves, ease, length, hem, closures
    "jacket": (
        0.45, ("lapel", "lapel", "shirt collar"), (0.82, 1.0), (0.2, 0.9), (58, 92), "straight", ("zip", "buttons"),
    ),
    "cardigan": (0.3, ("v",), (0.66, 1.0), (0.2, 0.95), (58, 98), "ribbed", ("buttons",)),
    "coat": (0.25, ("lapel", "lapel", "shirt collar"), (0.84, 1.0), (0.2, 0.9), (98, 152), "straight", ("buttons",)),
}  # fmt: skip


def draw_outer_cut(rng: np.random.Generator) -> TopCut:
    """Random measures of a garment that is worn open."""
    kind = str(rng.choice(list(_KINDS), p=[row[0] for row in _KINDS.values()]))
    _, necklines, sleeves, ease, length, hem, closures = _KINDS[kind]
    neckline = str(rng.choice(necklines))
    depth = {"lapel": (26, 38), "shirt collar": (7.5, 11), "v": (20, 30)}[neckline]
    return TopCut(
        kind=kind,
        neckline=neckline,
        neck_width=float(rng.uniform(8.0, 9.5)),
        neck_depth=float(rng.uniform(*depth)),
        strap=1.0,
        ease=between(rng, *ease, "fit", 0.12),
        taper=between(rng, 0, 0.6, "taper", 0.12),
        waist_at=float(rng.uniform(45, 51)),
        length=between(rng, *length, "leg length" if kind == "coat" else "top length", 1.6),
        flare=float(rng.uniform(0, 0.16)) if kind == "coat" else float(rng.uniform(0, 0.05)),
        sleeve=between(rng, *sleeves, "sleeve", 0.03),
        sleeve_ease=float(rng.uniform(0.2, 1.0)),
        cuff=float(rng.uniform(0.85, 1.0)),
        hem=hem,
        closure="buttons" if neckline == "lapel" else str(rng.choice(closures)),
        pocket="" if kind == "cardigan" else "side",
    )


def put_over(designs: dict[str, Design], cut: TopCut, rng: np.random.Generator, unit: float) -> None:
    """Adds the outer garment, and exchanges a top that doesn't go under one.

    Args:
        designs: By category, with a top or a dress.
        cut: Of the outer garment.
        unit: One pixel of the 192x256 photo in figure units.
    """
    under = designs.get("upper_body")
    while under is not None and not _goes_under(under):
        under = designs["upper_body"] = draw_design(rng, "upper_body", unit, designs["lower_body"].texture.colors[0])
    under = designs.get("dresses", under)
    if under.cut.ease > cut.ease:  # the wider one is worn outside; both keep the distance to the words' edges
        under.cut.ease, cut.ease = cut.ease, under.cut.ease
    under_color = under.texture.colors[0]
    designs[OUTER] = draw_design(rng, OUTER, unit, under_color, PLAIN_OUTER_SHARE, cut)


def _goes_under(design: Design) -> bool:
    """A word is kept, whatever it is on."""
    fits = design.cut.kind in _UNDER and design.cut.neckline != "off-shoulder"
    return fits or bool(design.texture.word)


class OpenTop(Top):
    """A garment that is worn open over another one.

    Args:
        design: The garment.
        body, pixel, material: As for `Design.on`.
        under: The garment under it, which is nowhere wider.
        bottom: The skirt or trousers.
    """

    def __init__(
        self, design: Design, body: Body, pixel: float, material: type[Cloth], under: Top, bottom: Bottom | None
    ):
        rng = np.random.default_rng([design.fold_seed, 2])
        super().__init__(design.cut, body, material(design.texture, pixel), design.trim, rng, design.label)
        self.under = under
        self._widen(bottom)
        hem = float(self.tube.half_width(self.cut.length))
        gaps = rng.uniform((4.0, 5.0, 5.0), (9.0, 12.5, 0.7 * hem), (2, 3))  # per side at chest, waist and hem
        self.gaps = np.minimum(gaps, (9.0, 12.5, 20.0))

    def _widen(self, bottom: Bottom | None) -> None:
        """Makes room for what is worn under it."""
        under, tube = self.under, self.tube
        self.chest, self.armpit = max(self.chest, under.chest + 0.6), max(self.armpit, under.armpit)
        least = [np.where(tube.heights <= under.cut.length, under.tube.half_width(tube.heights) + 0.8, 0)]
        if bottom is not None and bottom.cut.skirt:
            least.append(np.where(tube.heights <= bottom.cut.length, bottom.tube.half_width(tube.heights) + 0.8, 0))
        limbs = [sleeve.limb for sleeve in bottom.legs] if bottom is not None and bottom.legs else []
        for limb in limbs or [self.body.leg(side) for side in (0, 1)]:
            x, y = self.body.frame.to_local(*limb.spine.T)
            order = np.argsort(y)
            reach = np.interp(tube.heights, y[order], (np.abs(x) + limb.half_width + 1.0)[order], left=0)
            least.append(np.where(tube.heights > 80, reach, 0))
        tube.half_widths = np.max([tube.half_widths, *least], axis=0)
        if under.sleeves:
            for own, inner in zip(self.sleeves, under.sleeves, strict=True):
                wide = np.interp(own.limb.along, inner.limb.along, inner.limb.half_width) + 0.4
                own.limb.half_width = np.maximum(own.limb.half_width, wide)

    def shoulder_y(self, x: float) -> float:
        """Above the seam of what is worn under it, trims included."""
        return super().shoulder_y(x) - 1.2

    def edge(self, side: int) -> np.ndarray:
        """The front's edge on one side, from the neck down to the hem, in figure coordinates: (n, 2)."""
        cut, sign = self.cut, (-1, 1)[side]
        top = (cut.neck_width, float(self.shoulder_y(cut.neck_width)))
        chest, waist, hem = self.gaps[side]
        low = self.tube.heights[-1] + 1.0
        knots = [top, (chest, min(26.0, 0.45 * low)), (waist, min(48.0, 0.7 * low)), (hem, low)]
        points = spline(knots, closed=False, steps=8) * (sign, 1)
        turned = self.tube.turned(points) - self.body.frame.to_world(points)
        return self.body.frame.to_world(points) + turned * np.clip((points[:, 1:] - 8) / 14, 0, 1)

    def panel(self, side: int) -> np.ndarray:
        """The outline of the front on one side, in figure coordinates: (n, 2)."""
        sign, tube = (-1, 1)[side], self.tube
        _, arm = self.half_outline(self.cut.neck_depth)
        heights = np.linspace(self.armpit, tube.heights[-1] - self.cut.hem_curve, 30)[1:-1]
        seam = np.concatenate([arm, np.stack([tube.half_width(heights), heights], axis=1)]) * (sign, 1)
        hem = tube.hem(self.cut.hem_curve)
        hem = hem if side else hem[::-1]
        place = self.body.frame.to_world
        edge = self.edge(side)
        below = place(hem)
        below = below[(below[:, 0] - edge[-1, 0]) * sign > 0.5]
        return np.concatenate([place(seam), below, edge[::-1]])

    def paint_back(self, canvas: Canvas) -> None:
        """The lining, seen behind the body where the front is open, and the inside of the collar."""
        inside = shade(self.cloth.texture.colors[0], 0.55)
        canvas.paint([self.body.frame.to_world(self._outline(self.cut.neck_depth))], inside, self.label)
        super().paint_back(canvas)

    def paint_open_front(self, canvas: Canvas) -> None:
        """Both panels with their shadow on what is worn under them, and the turned-back edges."""
        panels = [self.panel(side) for side in (0, 1)]
        for side, panel in enumerate(panels):
            inward = moved(panel, (0.9, -0.9)[side], 1.0)
            canvas.paint([inward], (20, 16, 30), opacity=0.32, only=[4, 5, 6, 7, 11, 12, 13], blur=1.5)
        closed = canvas.copy()
        paint_front(closed, self)
        canvas.paint_from(closed, panels, self.label)
        for side, sign in enumerate((-1, 1)):
            self._paint_edge(canvas, side, sign)

    def _paint_edge(self, canvas: Canvas, side: int, sign: int) -> None:
        edge = self.edge(side)
        trim = self.tube.paint(self.cloth.plain(self.trim), 0.97)
        if self.cut.kind == "cardigan":
            canvas.paint(ribbon(moved(edge, sign * 1.2, 0), 1.5), trim, self.label)
            self.line(canvas, moved(edge, sign * 2.7, 0), 0.28, 0.9)
            return
        if self.cut.closure == "zip":
            canvas.paint(ribbon(moved(edge, sign * 0.4, 0), 0.45), (188, 190, 196), self.label)
        self.line(canvas, moved(edge, sign * 2.0, 0), 0.28, 0.8)
        self._paint_lapel(canvas, side, sign)

    def _paint_lapel(self, canvas: Canvas, side: int, sign: int) -> None:
        """The collar, and below it the front turned back."""
        cut, place = self.cut, self.body.frame.to_world
        w, y, d = cut.neck_width, float(self.shoulder_y(cut.neck_width)), cut.neck_depth
        leaf = [(w - 2.6, y - 2.3), (w + 3.5, y + 2.4)]
        if cut.neckline == "lapel":
            leaf += [(w + 5.6, 0.42 * d), (w + 2.8, 0.5 * d), (w + 4.6, 0.58 * d)]
        else:
            leaf += [(w + 3.0, d + 5.0)]
        edge = self.edge(side)
        low = place(np.array([[0.0, d + 3.0]]))[0, 1]
        fold = edge[edge[:, 1] < low][::-1]
        shape = np.concatenate([place(np.array(leaf) * (sign, 1)), fold])
        canvas.paint([moved(shape, 0, 0.9)], (24, 20, 28), opacity=0.25, only=[self.label], blur=0.8)
        canvas.paint([shape], self.tube.paint(self.cloth.plain(self.trim), 0.96), self.label)
        self.line(canvas, np.concatenate([shape, shape[:1]]), 0.28, 1.0)

    def paint_sleeve(self, canvas: Canvas, side: int) -> None:
        """The sleeve, and the cuff of a longer one under it."""
        end = self.sleeves[side].limb.length
        if self.under.sleeves and self.under.sleeves[side].limb.length > end + 0.5:
            inner = self.under.sleeves[side]
            cuff = inner.limb.cut(max(end - 4.0, 0.0), inner.limb.length)
            canvas.paint(cuff.shape(), inner.paint(self.under.cloth, 0.96), self.under.label)
        super().paint_sleeve(canvas, side)

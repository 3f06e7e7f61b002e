"""Shoes, belts, bags and scarves, which may hide parts of the garments."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from drawn_people.body import CLOTHES_LABELS, LEG_LABELS, SHOE_LABELS, Body
from drawn_people.canvas import Canvas, ellipse, moved, ribbon, spline
from drawn_people.palettes import CLOTH, LEATHER, contrasting, pick, shade
from drawn_people.panels import Tube

BELT_LABEL, BAG_LABEL, SCARF_LABEL = 8, 16, 17
_SHOES = ("sneaker", "flat", "loafer", "boot")


@dataclass
class Extras:
    """Accessories of one person.

    Attributes:
        shoes: One of sneaker, flat, loafer, boot.
        bag: "", "cross", "shoulder" or "hand"; bag_side: 0 or 1, the side on which it hangs.
        tights: Colour of the legs in place of skin, or None.
    """

    body: Body
    shoes: str
    shoe_color: np.ndarray
    toes: float
    tights: np.ndarray | None
    belt: bool
    bag: str
    bag_side: int
    bag_size: float
    leather: np.ndarray
    scarf: bool
    scarf_color: np.ndarray

    def paint_shoe(self, canvas: Canvas, side: int) -> None:
        ankle, out = self.body.legs[side][2], (-1, 1)[side]
        label, color = SHOE_LABELS[side], self.shoe_color
        splay = out * self.toes

        def place(points: ArrayLike) -> np.ndarray:
            p = np.array(points, float)
            p[:, 0] += splay * np.clip(p[:, 1] / 10, 0, 1.2)
            return ankle + p

        def leather(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            return np.clip(color * (1.08 - 0.035 * np.abs(x - ankle[0] - 0.6 * splay))[:, None], 0, 255)

        if self.shoes == "boot":
            leg = self.body.leg(side)
            shaft = leg.cut(0.84 * leg.length, leg.length)
            shaft.half_width = shaft.half_width + 1.1
            canvas.paint(shaft.shape(), leather, label)
        else:
            canvas.paint(
                [place([(-3.6, -1), (3.6, -1), (4.4, 6), (-4.4, 6)])],
                shade(self.body.skin if self.tights is None else self.tights, 0.96),
                LEG_LABELS[side],
            )
        top = {"boot": -1.5, "sneaker": 0.2, "loafer": 2.4, "flat": 4.6}[self.shoes]
        foot = [
            (-3.7, top),
            (0, top + (0.6 if self.shoes in ("boot", "sneaker") else 2.4)),
            (3.7, top),
            (4.7, 5.6),
            (5.0, 9.6),
            (3.0, 11.2),
            (-3.0, 11.2),
            (-5.0, 9.6),
            (-4.7, 5.6),
        ]
        canvas.paint([spline(place(foot), steps=4)], leather, label)
        if self.shoes == "sneaker":
            sole = [(-5.0, 8.8), (0, 9.8), (5.0, 8.8), (4.6, 11.4), (0, 12.0), (-4.6, 11.4)]
            canvas.paint([spline(place(sole), steps=3)], (240, 238, 234), label)
            for y in (3.0, 5.0, 7.0):
                canvas.paint(ribbon(place([(-1.8, y), (1.8, y)]), 0.35), (244, 242, 238))

    def paint_belt(self, canvas: Canvas, tube: Tube, height: float) -> None:
        """Around the panel at a height; only where clothes are."""
        u = np.linspace(-1, 1, 15)
        droop = 1.4 * (1 - u * u)
        edges = [
            np.stack([u * (tube.half_width(np.full(15, height)) + 0.3), height + dy + droop], axis=1)
            for dy in (-1.9, 1.9)
        ]
        shape = self.body.frame.to_world(np.concatenate([edges[0], edges[1][::-1]]))
        canvas.paint(
            [shape],
            lambda x, y: self.leather * (1.05 - 0.0004 * (x - self.body.head[0]) ** 2)[:, None],
            BELT_LABEL,
            only=[*CLOTHES_LABELS, BELT_LABEL],
        )
        x, y = tube.turned(np.array([[0.0, height + 1.4]]))[0]
        frame = np.array(
            [(x - 2.4, y - 2.3), (x + 2.4, y - 2.3), (x + 2.4, y + 2.3), (x - 2.4, y + 2.3), (x - 2.4, y - 2.3)]
        )
        canvas.paint(ribbon(frame, 0.5), (206, 188, 132), BELT_LABEL)

    def paint_cross_bag(self, canvas: Canvas) -> None:
        """A strap from one shoulder to the other hip, over the garment and under the arms."""
        if self.bag != "cross":
            return
        out = (-1, 1)[self.bag_side]
        b = self.body
        strap = [(-out * (b.shoulder - 12), 1.5), (-out * 7, 22), (out * 5, 42), (out * (b.hip - 1), 66)]
        path = b.frame.to_world(spline(strap, closed=False))
        canvas.paint(
            [moved(p, 0.5, 0.8) for p in ribbon(path, 1.2)], (20, 16, 24), opacity=0.3, only=CLOTHES_LABELS, blur=0.9
        )
        canvas.paint(ribbon(path, 1.15), shade(self.leather, 0.9), BAG_LABEL)
        self._paint_body(
            canvas, b.frame.to_world(np.array([out * (b.hip + 2.0), 72.0])), 9.5 * self.bag_size, 7.5 * self.bag_size
        )

    def paint_outer_bag(self, canvas: Canvas) -> None:
        """A bag on the shoulder or in the hand, outside the arm."""
        out, b = (-1, 1)[self.bag_side], self.body
        if self.bag == "shoulder":
            shoulder = b.frame.to_world(np.array([out * (b.shoulder - 8), 3.2]))
            bag = b.frame.to_world(np.array([out * (b.shoulder + 1.5), 66.0]))
            for dx in (-5.5, 5.5):
                canvas.paint(
                    ribbon(np.stack([shoulder, moved(bag, dx * self.bag_size, -10 * self.bag_size)]), 0.9),
                    shade(self.leather, 0.85),
                    BAG_LABEL,
                )
            self._paint_body(canvas, bag, 11.5 * self.bag_size, 11 * self.bag_size)
        elif self.bag == "hand":
            elbow, wrist = b.arms[self.bag_side][1:]
            hand = wrist + 8 * (wrist - elbow) / np.linalg.norm(wrist - elbow)
            bag = moved(hand, 0, 13 * self.bag_size)
            loop = spline(
                [moved(bag, -6, -7), moved(hand, -4, -1), moved(hand, 4, -1), moved(bag, 6, -7)], closed=False
            )
            canvas.paint(ribbon(loop, 0.8), shade(self.leather, 0.8), BAG_LABEL)
            self._paint_body(canvas, bag, 11 * self.bag_size, 8 * self.bag_size)

    def _paint_body(self, canvas: Canvas, middle: np.ndarray, w: float, h: float) -> None:
        outline = spline(
            middle + np.array([(-0.86, -1), (0.86, -1), (1.0, 0.86), (0.8, 1), (-0.8, 1), (-1.0, 0.86)]) * (w, h),
            steps=4,
        )
        canvas.paint(
            [moved(outline, 0.8, 1.4)], (20, 16, 24), opacity=0.3, only=[*CLOTHES_LABELS, 12, 13, 14, 15], blur=1.4
        )
        canvas.paint(
            [outline],
            lambda x, y: np.clip(
                self.leather * (1.06 - 0.12 * ((x - middle[0]) / w) ** 2 - 0.05 * (y - middle[1]) / h)[:, None], 0, 255
            ),
            BAG_LABEL,
        )
        flap = middle + np.array([(-0.86, -0.95), (0.86, -0.95), (0.8, 0.0), (0, 0.3), (-0.8, 0.0), (-0.86, -0.95)]) * (
            w,
            h,
        )
        canvas.paint(ribbon(flap, 0.35), shade(self.leather, 0.65))
        canvas.paint([ellipse(middle[0], middle[1] + 0.2 * h, 1.1, 1.1, steps=10)], (214, 196, 140))

    def paint_scarf(self, canvas: Canvas) -> None:
        if not self.scarf:
            return
        place, out = self.body.frame.to_world, (-1, 1)[self.bag_side]

        def knit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            return np.clip(self.scarf_color * (1 + 0.07 * np.sin(1.3 * x + 0.9 * y))[:, None], 0, 255)

        tail = spline([(out * 4, 6), (out * 7, 20), (out * 6, 38)], closed=False)
        canvas.paint(ribbon(place(tail), np.linspace(3.4, 4.6, len(tail))), knit, SCARF_LABEL)
        ring = spline([(-9, -3), (-7, 4.5), (0, 8), (7, 4.5), (9, -3)], closed=False)
        canvas.paint(ribbon(place(ring), 4.2), knit, SCARF_LABEL)
        canvas.paint(ribbon(place(moved(ring, 0, 1.6)), 0.4), shade(self.scarf_color, 0.7), opacity=0.7)

    def ground_shadow(self, canvas: Canvas) -> None:
        feet = [leg[2] + (0, 10.5) for leg in self.body.legs]
        for x, y in feet:
            canvas.paint([ellipse(x, y, 9, 2.2)], (20, 16, 22), opacity=0.4, blur=1.6)
        x, y = np.mean(feet, axis=0)
        canvas.paint([ellipse(x - 8 * np.sign(self.body.light), y, 30, 4)], (20, 16, 22), opacity=0.28, blur=4)


def draw_extras(rng: np.random.Generator, body: Body, legs_show: bool) -> Extras:
    """Random accessories; a bag in the hand only if the hand hangs free."""
    side = int(rng.integers(2))
    bag = str(rng.choice(["", "cross", "shoulder", "hand"], p=[0.7, 0.12, 0.08, 0.1]))
    if bag and bag != "cross" and body.arm_poses[side] not in ("hang", "loose"):
        bag = ""
    leather = pick(rng, LEATHER)
    return Extras(
        body=body,
        shoes=str(rng.choice(_SHOES)),
        shoe_color=pick(rng, LEATHER + CLOTH[:10], 5),
        toes=float(rng.uniform(0.5, 4.0)),
        tights=pick(rng, [(40, 38, 44), (92, 70, 60), (70, 74, 84)]) if legs_show and rng.random() < 0.14 else None,
        belt=bool(rng.random() < 0.3),
        bag=bag,
        bag_side=side,
        bag_size=float(rng.uniform(0.8, 1.25)),
        leather=leather,
        scarf=bool(rng.random() < 0.05),
        scarf_color=contrasting(rng, leather),
    )

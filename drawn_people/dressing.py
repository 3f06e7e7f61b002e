"""The clothes of a person: which ones, how they are put on, and the order in which everything is painted."""

from dataclasses import replace

import numpy as np

from drawn_people.body import Body
from drawn_people.bottoms import Bottom
from drawn_people.canvas import Canvas
from drawn_people.cuts import TopCut
from drawn_people.extras import Extras
from drawn_people.garments import OUTER, Design, draw_design
from drawn_people.hair import paint_hair_behind, paint_locks
from drawn_people.head import paint_head
from drawn_people.layers import OpenTop
from drawn_people.looks import Head
from drawn_people.panels import Cloth
from drawn_people.patterns import PLAIN_SHARE
from drawn_people.skin import draw_arm, draw_leg, draw_torso
from drawn_people.tops import Top
from drawn_people.trimmings import paint_front

_DRESSING = ("dresses", "lower_body", "upper_body", OUTER)  # a top may be tucked into the lower body


def draw_clothes(rng: np.random.Generator, category: str, unit: float, plain: float) -> dict[str, Design]:
    if category == "dresses":
        return {"dresses": draw_design(rng, "dresses", unit, plain=plain)}
    other = "lower_body" if category == "upper_body" else "upper_body"
    asked = draw_design(rng, category, unit, plain=plain)
    others_plain = PLAIN_SHARE if asked.texture.pattern == "plain" else 0.85  # two patterns rarely go together
    designs = {category: asked, other: draw_design(rng, other, unit, asked.texture.colors[0], others_plain)}
    return {"upper_body": designs["upper_body"], "lower_body": designs["lower_body"]}


def show_hem(designs: dict[str, Design]) -> None:
    """Lets the top's hem show, and no bare skin under it."""
    top, bottom = designs["upper_body"], designs["lower_body"]
    bottom.cut.rise = min(bottom.cut.rise, highest_rise(top.cut))


def highest_rise(top: TopCut) -> float:
    """Where trousers must begin so that no skin shows below a top."""
    return top.length - top.hem_curve - 3.0


def dress(
    body: Body, designs: dict[str, Design], pixel: float, category: str, material: type[Cloth]
) -> dict[str, Top | Bottom]:
    """The garments on the body; with the lower body asked for, the top is tucked in, so that the waistband shows."""
    worn = {}
    for name in sorted(designs, key=_DRESSING.index):
        design = designs[name]
        if name == OUTER:
            under = worn.get("upper_body", worn.get("dresses"))
            worn[name] = OpenTop(design, body, pixel, material, under, worn.get("lower_body"))
        elif name == "upper_body" and category == "lower_body":
            bottom = worn["lower_body"]
            cut = replace(design.cut, length=bottom.cut.rise + 4.0, hem="straight", hem_curve=0.0)
            worn[name] = replace(design, cut=cut).on(body, pixel, material)
            worn[name].tube.tuck(bottom.waist)
        else:
            worn[name] = design.on(body, pixel, material)
        if name == "dresses" or (name == "lower_body" and design.cut.skirt):
            body.keep_legs_within(worn[name].tube.half_width, design.cut.length)
    return worn


def paint_clothed(canvas: Canvas, body: Body, head: Head, extras: Extras, worn: dict[str, Top | Bottom]) -> None:
    top, bottom = worn.get("upper_body", worn.get("dresses")), worn.get("lower_body")
    outer = worn.get(OUTER)
    outside = outer or top  # whose sleeves are seen
    tucked = bottom is not None and top.tube.tucked
    behind = [side for side in (0, 1) if body.arm_poses[side] == "behind"]
    extras.ground_shadow(canvas)
    paint_hair_behind(canvas, head)
    for side in behind:
        draw_arm(canvas, body, side, outside.covers_arm(side))
        outside.paint_sleeve(canvas, side)
    if outer:
        outer.paint_back(canvas)
    top.paint_back(canvas)
    for side in (0, 1):
        draw_leg(canvas, body, side, body.skin if extras.tights is None else extras.tights)
        extras.paint_shoe(canvas, side)
    draw_torso(canvas, body)
    if tucked:
        paint_front(canvas, top)
    if bottom is not None:
        bottom.paint(canvas)
    if extras.belt and tucked and bottom.cut.kind != "leggings":
        extras.paint_belt(canvas, bottom.tube, bottom.cut.rise + 2.1)
    if not tucked:
        if bottom is not None:
            top.cast_shadow(canvas)
        paint_front(canvas, top)
    if extras.belt and top.cut.dress and top.cut.taper > 0.4 and 44 < top.cut.waist_at < 54:
        extras.paint_belt(canvas, top.tube, top.cut.waist_at)
    if outer:
        outer.paint_open_front(canvas)
    extras.paint_cross_bag(canvas)
    for side in (0, 1):
        if side not in behind:
            draw_arm(canvas, body, side, outside.covers_arm(side))
            outside.paint_sleeve(canvas, side)
    extras.paint_scarf(canvas)
    paint_head(canvas, head)
    paint_locks(canvas, head)
    extras.paint_outer_bag(canvas)

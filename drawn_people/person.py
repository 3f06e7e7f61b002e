"""Composes a person: background, body, garments and accessories, painted from back to front."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from drawn_people.attributes import CATEGORIES
from drawn_people.backgrounds import paint_background
from drawn_people.body import Body, draw_body_parameters
from drawn_people.bottoms import Bottom
from drawn_people.canvas import Canvas
from drawn_people.cuts import TopCut
from drawn_people.extras import Extras, draw_extras
from drawn_people.garments import Design, DrawnGarment, draw_design, draw_product
from drawn_people.hair import paint_hair_behind, paint_locks
from drawn_people.head import draw_head, paint_head
from drawn_people.looks import Head
from drawn_people.panels import Cloth
from drawn_people.patterns import PLAIN_SHARE
from drawn_people.skin import draw_arm, draw_leg, draw_torso
from drawn_people.tops import Top
from drawn_people.trimmings import paint_front

_LIP_OF_ATR = {
    0: 0,
    1: 1,
    2: 2,
    3: 4,
    4: 5,
    5: 12,
    6: 9,
    7: 6,
    9: 18,
    10: 19,
    11: 13,
    12: 16,
    13: 17,
    14: 14,
    15: 15,
    16: 0,
    17: 11,
}
_BELT = 8


@dataclass
class DrawnPerson:
    """A dressed person and the ground truth.

    Attributes:
        photo: RGB.
        label_map: L, ATR ids (0 background to 17 scarf; 14 and 15 are the person's left and right arm).
        keypoints: float32 (18, 2), OpenPose order, pixels; NaN outside the picture.
        garments: By category.
    """

    photo: Image.Image
    label_map: Image.Image
    keypoints: np.ndarray
    garments: dict[str, DrawnGarment]


def draw_person(
    seed: int, category: str | None = None, width: int = 192, height: int = 256, plain: float = PLAIN_SHARE
) -> DrawnPerson:
    """Draws a person from a seed; seed and category determine everything, the size only the resolution.

    Upper-body garments show their hem; where the lower body is asked for, the top is tucked in, and only its product
    picture shows its length.

    Args:
        seed: 0 or more.
        category: One of CATEGORIES, which the person then wears; None: any.
        width, height: In the proportion 3:4.
        plain: Chance in [0, 1] that the garment of the category has no pattern.

    Raises:
        ValueError: Negative seed, unknown category, a size that is not 3:4 or too small, or an impossible chance.
    """
    staged = stage_person(seed, category, width, height, plain)
    canvas = staged.photograph(width, height)
    garments = {}
    for name, design in staged.designs.items():
        product, silhouette = draw_product(design, staged.body, width, height)
        color = tuple(round(float(c)) for c in design.texture.colors[0])
        cut, pattern = design.cut, design.texture.pattern
        garments[name] = DrawnGarment(product, silhouette, cut.attributes(), cut.measures(), pattern, color)
    return DrawnPerson(canvas.image(), canvas.label_image(), staged.keypoints(width, height), garments)


@dataclass
class StagedPerson:
    """A person's random choices, before anything is painted.

    Attributes:
        designs, worn: The garments by category: as designs, and as worn on the body.
        zoom, offset: Figure coordinates times zoom plus offset are pixels of the 192x256 photo.
        scene: Draws the background.
    """

    body: Body
    head: Head
    extras: Extras
    designs: dict[str, Design]
    worn: dict[str, Top | Bottom]
    zoom: float
    offset: np.ndarray
    scene: np.random.Generator

    def paint(self, canvas: Canvas) -> None:
        """Paints the person, without a background."""
        scale = canvas.height / 256
        canvas.place(scale * self.zoom, tuple(scale * self.offset))
        _paint(canvas, self.body, self.head, self.extras, self.worn)

    def photograph(self, width: int, height: int) -> Canvas:
        """Paints background and person. Call it once: a second background would differ."""
        canvas = Canvas(width, height)
        canvas.place(height / 256, (0.0, 0.0))
        paint_background(canvas, self.scene, 187 * self.zoom + self.offset[1])
        self.paint(canvas)
        return canvas

    def keypoints(self, width: int, height: int) -> np.ndarray:
        """As in `DrawnPerson`."""
        keypoints = (self.body.keypoints() * self.zoom + self.offset) * (height / 256)
        outside = (keypoints < 0).any(1) | (keypoints >= (width, height)).any(1)
        keypoints[outside] = np.nan
        return keypoints.astype(np.float32)

    def dressed_in(self, design: Design, height: int) -> "StagedPerson":
        """The same person in another garment of the category that it was asked for; the body is shared with `self`.

        Args:
            design: Replaces the garment of its category. What is worn with it stays, but a bottom rises to a short top;
                a new bottom sits where the old one sat.
            height: Of the photo, in pixels.
        """
        designs = self.designs | {design.category: design}
        if design.category != "dresses":
            rise = self.designs["lower_body"].cut.rise
            rise = min(rise, _highest_rise(design.cut)) if design.category == "upper_body" else rise
            bottom = designs["lower_body"]
            designs["lower_body"] = replace(bottom, cut=replace(bottom.cut, rise=rise))
        worn = _dress(self.body, designs, 1 / (height / 256 * self.zoom), design.category, Cloth)
        return replace(self, designs=designs, worn=worn)


def stage_person(
    seed: int, category: str | None, width: int, height: int, plain: float, material: type[Cloth] = Cloth
) -> StagedPerson:
    """The first half of `draw_person`: arguments and errors are the same; garments are made of `material`."""
    if seed < 0:
        raise ValueError(f"seed {seed} is negative; give 0 or more.")
    if category is not None and category not in CATEGORIES:
        raise ValueError(f"category {category!r} is unknown; give one of {', '.join(CATEGORIES)}.")
    if width < 96 or width * 4 != height * 3:
        raise ValueError(f"size {width}x{height} is not possible; give 3:4 and at least 96x128, such as 192x256.")
    if not 0 <= plain <= 1:
        raise ValueError(f"a share of {plain} plain garments is not possible; give 0 to 1.")
    key = [seed, 0 if category is None else 1 + CATEGORIES.index(category)]
    streams = {
        name: np.random.default_rng([*key, i]) for i, name in enumerate(("body", "clothes", "scene", "head", "extras"))
    }
    rng = streams["clothes"]
    if category is None:
        category = str(rng.choice(CATEGORIES))
    body = draw_body_parameters(streams["body"])
    zoom, offset = _framing(streams["scene"], category)
    designs = _draw_clothes(rng, category, 1 / zoom, plain)
    legs_show = "dresses" in designs or designs["lower_body"].cut.skirt
    extras = draw_extras(streams["extras"], body, legs_show)
    head = draw_head(streams["head"], body)
    worn = _dress(body, designs, 1 / (height / 256 * zoom), category, material)
    return StagedPerson(body, head, extras, designs, worn, zoom, offset, streams["scene"])


def label_map_to_lip(label_map: Image.Image) -> Image.Image:
    """ATR ids -> LIP ids, as VITON-HD's parses have them; bags become background, belts the garment they hold."""
    labels = np.asarray(label_map)
    table = np.zeros(256, np.uint8)
    for atr, lip in _LIP_OF_ATR.items():
        table[atr] = lip
    for garment in (7, 6, 5):
        if (labels == garment).any():
            table[_BELT] = table[garment]
            break
    return Image.fromarray(table[labels])


def _framing(rng: np.random.Generator, category: str) -> tuple[float, np.ndarray]:
    """Zoom and offset: figure coordinates times zoom plus offset are pixels of the 192x256 photo."""
    a, b = rng.uniform(0, 1, 2)
    if category == "upper_body":
        top, bottom = -46 - 8 * a, 104 + 45 * b if rng.random() < 0.8 else 190 + 4 * b
    elif category == "lower_body":
        top, bottom = -46 + 46 * a, 189 + 7 * b
    else:
        top, bottom = -48 + 22 * a, 189 + 7 * b
    zoom = 256 / (bottom - top)
    return zoom, np.array([96 + rng.normal(0, 5), -top * zoom])


def _draw_clothes(rng: np.random.Generator, category: str, unit: float, plain: float) -> dict[str, Design]:
    if category == "dresses":
        return {"dresses": draw_design(rng, "dresses", unit, plain=plain)}
    other = "lower_body" if category == "upper_body" else "upper_body"
    asked = draw_design(rng, category, unit, plain=plain)
    others_plain = PLAIN_SHARE if asked.texture.pattern == "plain" else 0.85  # two patterns seldom go together
    designs = {category: asked, other: draw_design(rng, other, unit, asked.texture.colors[0], others_plain)}
    top, bottom = designs["upper_body"], designs["lower_body"]
    if category == "upper_body":  # its hem must show, and no bare skin under it
        bottom.cut.rise = min(bottom.cut.rise, _highest_rise(top.cut))
    return {"upper_body": top, "lower_body": bottom}


def _highest_rise(top: TopCut) -> float:
    """Where trousers must begin so that no skin shows below a top."""
    return top.length - top.hem_curve - 3.0


def _dress(
    body: Body, designs: dict[str, Design], pixel: float, category: str, material: type[Cloth]
) -> dict[str, Top | Bottom]:
    """The garments on the body; with the lower body asked for, the top is tucked in, so that the waistband shows."""
    worn = {}
    for name in sorted(designs):  # the lower body first: a top may be tucked into it
        design = designs[name]
        if name == "upper_body" and category == "lower_body":
            bottom = worn["lower_body"]
            cut = replace(design.cut, length=bottom.cut.rise + 4.0, hem="straight", hem_curve=0.0)
            worn[name] = replace(design, cut=cut).on(body, pixel, material)
            worn[name].tube.tuck(bottom.waist)
        else:
            worn[name] = design.on(body, pixel, material)
        if name == "dresses" or (name == "lower_body" and design.cut.skirt):
            body.keep_legs_within(worn[name].tube.half_width, design.cut.length)
    return worn


def _paint(canvas: Canvas, body: Body, head: Head, extras: Extras, worn: dict[str, Top | Bottom]) -> None:
    top, bottom = worn.get("upper_body", worn.get("dresses")), worn.get("lower_body")
    tucked = bottom is not None and top.tube.tucked
    behind = [side for side in (0, 1) if body.arm_poses[side] == "behind"]
    extras.ground_shadow(canvas)
    paint_hair_behind(canvas, head)
    for side in behind:
        draw_arm(canvas, body, side, top.covers_arm(side))
        top.paint_sleeve(canvas, side)
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
    extras.paint_cross_bag(canvas)
    for side in (0, 1):
        if side not in behind:
            draw_arm(canvas, body, side, top.covers_arm(side))
            top.paint_sleeve(canvas, side)
    extras.paint_scarf(canvas)
    paint_head(canvas, head)
    paint_locks(canvas, head)
    extras.paint_outer_bag(canvas)

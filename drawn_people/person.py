"""Composes a person: background, body, garments and accessories, painted from back to front."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from drawn_people.attributes import CATEGORIES
from drawn_people.backgrounds import paint_background
from drawn_people.body import Body, draw_body_parameters
from drawn_people.bottoms import Bottom
from drawn_people.canvas import Canvas
from drawn_people.dressing import draw_clothes, dress, highest_rise, paint_clothed, show_hem
from drawn_people.extras import Extras, draw_extras
from drawn_people.garments import Design, DrawnGarment, draw_product
from drawn_people.head import draw_head
from drawn_people.layers import OpenTop, draw_outer_cut, put_over
from drawn_people.letters import draw_lettered, product_print
from drawn_people.looks import Head
from drawn_people.panels import Cloth
from drawn_people.patterns import PLAIN_SHARE
from drawn_people.tops import Top

_STREAMS = ("body", "clothes", "scene", "head", "extras", "layers", "letters")  # of random numbers; new ones come last


@dataclass
class DrawnPerson:
    """A dressed person and the ground truth.

    Attributes:
        photo: RGB.
        label_map: L, ATR ids (0 background to 17 scarf; 14 and 15 are the person's left and right arm), and 18 for a
            garment worn open over another one.
        keypoints: float32 (18, 2), OpenPose order, pixels; NaN outside the picture.
        garments: By category, and under "outer" what is worn open over the top or the dress.
    """

    photo: Image.Image
    label_map: Image.Image
    keypoints: np.ndarray
    garments: dict[str, DrawnGarment]


def draw_person(
    seed: int,
    category: str | None = None,
    width: int = 192,
    height: int = 256,
    plain: float = PLAIN_SHARE,
    layers: bool = False,
    letters: bool = False,
) -> DrawnPerson:
    """Draws a person from a seed; everything but the size determines the clothes, the size only the resolution.

    Upper-body garments show their hem; where the lower body is asked for, the top is tucked in, and only its product
    picture shows its length. A garment worn open is closed in its product picture.

    Args:
        seed: 0 or more.
        category: One of CATEGORIES, which the person then wears; None: any.
        width, height: In the proportion 3:4.
        plain: Chance in [0, 1] that the garment of the category has no pattern.
        layers: Whether an open jacket, cardigan or coat is worn over the top or the dress.
        letters: Whether the top is a shirt, sweater or hoodie with a word on it; dresses have none.

    Raises:
        ValueError: Negative seed, unknown category, a size that is not 3:4 or too small, or an impossible chance.
    """
    staged = stage_person(seed, category, width, height, plain, layers=layers, letters=letters)
    canvas = staged.photograph(width, height)
    garments = {}
    for name, design in staged.designs.items():
        product, silhouette = draw_product(design, staged.body, width, height)
        color = tuple(round(float(c)) for c in design.texture.colors[0])
        cut, pattern = design.cut, design.texture.pattern
        garments[name] = DrawnGarment(
            product,
            silhouette,
            attributes=cut.attributes(),
            measures=cut.measures(),
            pattern=pattern,
            color=color,
            word=design.texture.word,
            print=product_print(design, staged.body, width, height),
        )
    return DrawnPerson(canvas.image(), canvas.label_image(), staged.keypoints(width, height), garments)


@dataclass
class StagedPerson:
    """A person's random choices, before anything is painted.

    Attributes:
        designs, worn: The garments by category, and under "outer" the open one: as designs, and as worn on the body.
        zoom, offset: Figure coordinates times zoom plus offset are pixels of the 192x256 photo.
        scene: Draws the background.
    """

    body: Body
    head: Head
    extras: Extras
    designs: dict[str, Design]
    worn: dict[str, Top | Bottom | OpenTop]
    zoom: float
    offset: np.ndarray
    scene: np.random.Generator

    def paint(self, canvas: Canvas) -> None:
        """Paints the person, without a background."""
        scale = canvas.height / 256
        canvas.place(scale * self.zoom, tuple(scale * self.offset))
        paint_clothed(canvas, self.body, self.head, self.extras, self.worn)

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

    def dressed_in(self, design: Design, height: int, material: type[Cloth] = Cloth) -> "StagedPerson":
        """The same person in another garment of the category that it was asked for; the body is shared with `self`.

        Args:
            design: Replaces the garment of its category. What is worn with it stays, but a bottom rises to a short top;
                a new bottom sits where the old one sat.
            height: Of the photo, in pixels.
            material: What all garments are made of.
        """
        designs = self.designs | {design.category: design}
        if design.category != "dresses":
            rise = self.designs["lower_body"].cut.rise
            rise = min(rise, highest_rise(design.cut)) if design.category == "upper_body" else rise
            bottom = designs["lower_body"]
            designs["lower_body"] = replace(bottom, cut=replace(bottom.cut, rise=rise))
        worn = dress(self.body, designs, 1 / (height / 256 * self.zoom), design.category, material)
        return replace(self, designs=designs, worn=worn)


def stage_person(
    seed: int,
    category: str | None,
    width: int,
    height: int,
    plain: float,
    material: type[Cloth] = Cloth,
    layers: bool = False,
    letters: bool = False,
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
    streams = {name: np.random.default_rng([*key, i]) for i, name in enumerate(_STREAMS)}
    rng = streams["clothes"]
    if category is None:
        category = str(rng.choice(CATEGORIES))
    body = draw_body_parameters(streams["body"])
    outer = draw_outer_cut(streams["layers"]) if layers else None
    zoom, offset = _framing(streams["scene"], category, outer.length + 8 if outer else 0.0)
    designs = draw_clothes(rng, category, 1 / zoom, plain)
    if letters and "upper_body" in designs:
        designs["upper_body"] = draw_lettered(streams["letters"], 1 / zoom, designs["lower_body"].texture.colors[0])
    if outer:
        put_over(designs, outer, streams["layers"], 1 / zoom)
    if category == "upper_body":
        show_hem(designs)
    legs_show = "dresses" in designs or designs["lower_body"].cut.skirt
    extras = draw_extras(streams["extras"], body, legs_show)
    head = draw_head(streams["head"], body)
    worn = dress(body, designs, 1 / (height / 256 * zoom), category, material)
    return StagedPerson(body, head, extras, designs, worn, zoom, offset, streams["scene"])


def _framing(rng: np.random.Generator, category: str, lowest: float = 0.0) -> tuple[float, np.ndarray]:
    """Zoom and offset: figure coordinates times zoom plus offset are pixels of the 192x256 photo.

    Args:
        lowest: Height that shows, in figure units.
    """
    a, b = rng.uniform(0, 1, 2)
    if category == "upper_body":
        top, bottom = -46 - 8 * a, 104 + 45 * b if rng.random() < 0.8 else 190 + 4 * b
    elif category == "lower_body":
        top, bottom = -46 + 46 * a, 189 + 7 * b
    else:
        top, bottom = -48 + 22 * a, 189 + 7 * b
    zoom = 256 / (max(bottom, lowest) - top)
    return zoom, np.array([96 + rng.normal(0, 5), -top * zoom])

"""A garment: its cut, cloth and trim; worn on a body, or laid flat for a product picture."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from drawn_people.attributes import caption_from_attributes
from drawn_people.body import Body
from drawn_people.bottoms import Bottom
from drawn_people.canvas import Canvas
from drawn_people.cuts import BottomCut, TopCut, draw_bottom, draw_dress, draw_top
from drawn_people.palettes import CLOTH, DENIM, contrasting, pick, shade
from drawn_people.panels import Cloth
from drawn_people.patterns import PLAIN_SHARE, Texture, draw_texture
from drawn_people.tops import Top
from drawn_people.trimmings import paint_front
from temu_vtoff.metrics.prints import Print

UPPER_LABEL, SKIRT_LABEL, PANTS_LABEL, DRESS_LABEL, OUTER_LABEL = 4, 5, 6, 7, 18
OUTER = "outer"  # beside the categories: what is worn open over a top or a dress
MARGIN = 0.06  # of the product picture's sides, left white


@dataclass
class DrawnGarment:
    """The truth about one garment.

    Attributes:
        product: RGB, front view, flat, on pure white, centred.
        silhouette: L, 0 or 255, of the product picture.
        attributes: Words per key of `attributes.VOCABULARY[category]`.
        measures: The numbers of the cut; most words are bins of them (`cuts.TopCut`, `cuts.BottomCut`).
        pattern: One of PATTERNS, or "letters". color: Ground colour, RGB in [0, 255].
        word: On the chest; often empty. print: Where the product shows the word, or the single print; else None.
    """

    product: Image.Image
    silhouette: Image.Image
    attributes: dict[str, str]
    measures: dict[str, float]
    pattern: str
    color: tuple[int, int, int]
    word: str = ""
    print: Print | None = None

    @property
    def caption(self) -> str:
        return caption_from_attributes(self.attributes)


@dataclass
class Design:
    """Everything about a garment that doesn't depend on the body that wears it."""

    category: str
    cut: TopCut | BottomCut
    texture: Texture
    trim: np.ndarray
    fold_seed: int

    @property
    def label(self) -> int:
        if self.category == "lower_body":
            return SKIRT_LABEL if self.cut.skirt else PANTS_LABEL
        return {"upper_body": UPPER_LABEL, "dresses": DRESS_LABEL, OUTER: OUTER_LABEL}[self.category]

    def on(self, body: Body, pixel: float, material: type[Cloth] = Cloth) -> Top | Bottom:
        """The garment on a body; `pixel` is the size of an output pixel in figure units."""
        rng = np.random.default_rng([self.fold_seed, int(body.flat)])
        cloth = material(self.texture, pixel)
        if isinstance(self.cut, BottomCut):
            return Bottom(self.cut, body, cloth, rng, self.label)
        return Top(self.cut, body, cloth, self.trim, rng, self.label)


def draw_design(
    rng: np.random.Generator,
    category: str,
    unit: float,
    avoid: np.ndarray | None = None,
    plain: float = PLAIN_SHARE,
    cut: TopCut | None = None,
) -> Design:
    """A random garment.

    Args:
        category: One of CATEGORIES; with a cut also OUTER.
        unit: One pixel of the 192x256 photo in figure units.
        avoid: Colour of the other garment, which this one's should differ from.
        plain: Share of plain cloth.
        cut: Its measures; None draws them.
    """
    if cut is None:
        cut = {"upper_body": draw_top, "lower_body": draw_bottom, "dresses": draw_dress}[category](rng)
    color = pick(rng, CLOTH)
    if rng.random() < {"jeans": 0.8, "shorts": 0.4}.get(cut.kind, 0.0):
        color = pick(rng, DENIM)
    if avoid is not None:
        for _ in range(6):
            if np.linalg.norm(color - avoid) > 60:
                break
            color = pick(rng, CLOTH)
    graphic = 0.0
    if category == "upper_body" and cut.kind in ("t-shirt", "tank top", "sweater", "hoodie") and not cut.closure:
        graphic = 0.55
    texture = draw_texture(rng, color, unit, graphic, 21.0, plain)
    if texture.graphic:
        low = cut.length - (24 if cut.pocket == "kangaroo" else 6)
        texture.size = float(min(texture.size, 0.5 * (low - cut.neck_depth - 3)))
        texture.center = (0.0, cut.neck_depth + 3.5 + texture.size)
        cut.pocket = "" if cut.pocket == "chest" else cut.pocket
    trim = shade(color, float(rng.uniform(0.84, 1.0)))
    if category == "upper_body" and cut.kind in ("t-shirt", "sweater", "tank top", "shirt") and rng.random() < 0.16:
        trim = contrasting(rng, color)
    return Design(category, cut, texture, trim, int(rng.integers(2**31)))


def draw_product(design: Design, body: Body, width: int, height: int) -> tuple[Image.Image, Image.Image]:
    """Product picture (RGB on white) and silhouette (L, 0 or 255) of a garment in the body's size."""
    canvas = Canvas(width, height)
    paint_flat(canvas, design, body)
    covered = canvas.labels > 0
    return canvas.image(), Image.fromarray(covered.astype(np.uint8) * 255)


def lay_flat(canvas: Canvas, design: Design, body: Body) -> Body:
    """Places a canvas so that the garment, laid flat, fills it and is centred; returns what it lies on."""
    size = np.array([canvas.width, canvas.height])
    sleeve = getattr(design.cut, "sleeve", 0.0)
    mannequin = body.on_mannequin(float(np.interp(sleeve, (0.2, 1.0), (0.72, 0.3))))
    points = np.concatenate(design.on(mannequin, 1.0).shapes())
    low, high = points.min(0), points.max(0)
    scale = float(np.min(size * (1 - 2 * MARGIN) / (high - low)))
    canvas.place(scale, tuple(size / 2 - scale * (low + high) / 2))
    return mannequin


def paint_flat(canvas: Canvas, design: Design, body: Body, material: type[Cloth] = Cloth) -> None:
    """Paints a garment in the body's size, laid flat and centred."""
    mannequin = lay_flat(canvas, design, body)
    garment = design.on(mannequin, 1 / canvas.scale, material)
    if isinstance(garment, Bottom):
        garment.paint(canvas)
    else:
        garment.paint_back(canvas)
        paint_front(canvas, garment)
        for side in (0, 1):
            garment.paint_sleeve(canvas, side)

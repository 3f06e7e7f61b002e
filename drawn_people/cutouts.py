"""Product pictures on any background with their alpha known: pale on white, lace, straps, cut by the frame.

The garment is painted over black and over white; where the two differ, the background shows through.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from drawn_people.body import Body, draw_body_parameters
from drawn_people.canvas import Canvas, ellipse, ribbon, spline
from drawn_people.garments import Design, draw_design, paint_flat
from drawn_people.palettes import shade
from drawn_people.patterns import Texture

Color = tuple[float, float, float]
_LACE_STEP, _LACE_RADIUS = 0.045, 0.013  # of the picture's height
_TOUCHING = 1.3  # enlargement of a garment that the frame cuts


@dataclass(frozen=True, eq=False)
class Cutout:
    """A product picture and its alpha.

    Attributes:
        picture: RGB, on the background.
        alpha: (H, W) float32 in [0, 1]; 1 is garment.
        color: (H, W, 3) float32 in [0, 255], the garment's own colour; black where there is none.
    """

    picture: Image.Image
    alpha: np.ndarray
    color: np.ndarray


def draw_cutout(
    seed: int,
    category: str,
    *,
    color: Color,
    stripes: Color | None = None,
    background: Color = (255.0, 255.0, 255.0),
    lace: bool = False,
    straps: bool = False,
    touching: bool = False,
    width: int = 192,
    height: int = 256,
) -> Cutout:
    """A garment on a plain background.

    Args:
        seed: Draws its cut.
        category: One of CATEGORIES.
        color: Of the cloth, RGB in [0, 255].
        stripes: Colour of vertical stripes; None is plain cloth.
        background: RGB in [0, 255].
        lace: Round holes all over the garment.
        straps: A dress that hangs from a loop of straps; the background shows within.
        touching: The garment is larger than the picture and touches all its sides or nearly so.
        width, height: In pixels.

    Raises:
        ValueError: Straps of anything but a dress.
    """
    if straps and category != "dresses":
        raise ValueError(f"straps hold dresses only; category is {category!r}.")
    rng = np.random.default_rng([seed, 90])
    design = _draw_plain(rng, category, straps, np.array(color, np.float32), stripes)
    body = draw_body_parameters(rng)
    layers = [_paint(design, body, value, width, height, touching) for value in (0.0, 255.0)]
    alpha = 1 - (layers[1] - layers[0]).mean(axis=2) / 255
    alpha = np.clip(alpha, 0, 1).astype(np.float32)
    premultiplied = layers[0]
    if lace:
        kept = 1 - _holes(alpha, width, height)
        alpha, premultiplied = alpha * kept, premultiplied * kept[..., None]
    pixels = premultiplied + (1 - alpha)[..., None] * np.array(background, np.float32)
    own = np.divide(premultiplied, alpha[..., None], out=np.zeros_like(premultiplied), where=alpha[..., None] > 0.004)
    return Cutout(Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8)), alpha, own)


def _draw_plain(
    rng: np.random.Generator, category: str, straps: bool, color: np.ndarray, stripes: Color | None
) -> Design:
    design = draw_design(rng, category, 1.0)
    while straps != (getattr(design.cut, "neckline", "") == "strap"):
        design = draw_design(rng, category, 1.0)
    texture = Texture("plain", [color])
    if stripes is not None:
        texture = Texture("vertical", [color, np.array(stripes, np.float32), color], period=9.0)
    return replace(design, texture=texture, trim=shade(color, 0.96))


def _paint(design: Design, body: Body, ground: float, width: int, height: int, touching: bool) -> np.ndarray:
    """(H, W, 3) float32 in [0, 255]: the garment over grey of a value."""
    large = _TOUCHING if touching else 1.0
    canvas = Canvas(round(width * large), round(height * large), (ground,) * 3)
    paint_flat(canvas, design, body)
    if getattr(design.cut, "neckline", "") == "strap":
        _paint_loop(canvas, design, body)
    top, left = (canvas.height - height) // 2, (canvas.width - width) // 2
    return canvas.rgb[top : top + height, left : left + width]


def _paint_loop(canvas: Canvas, design: Design, body: Body) -> None:
    """A strap behind the neck that joins the two over the shoulders."""
    garment = design.on(body.on_mannequin(0.3), 1 / canvas.scale)
    w = design.cut.neck_width - 0.5
    y = float(garment.shoulder_y(w)) - 0.6
    arc = spline([(-w, y + 0.4), (-0.5 * w, y - 2.0), (0, y - 2.6), (0.5 * w, y - 2.0), (w, y + 0.4)], closed=False)
    canvas.paint(ribbon(arc, 1.1), shade(design.texture.colors[0], 0.9), design.label)


def _holes(alpha: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W) float32 in [0, 1]: holes in rows, wholly within the garment."""
    canvas = Canvas(width, height, (0.0, 0.0, 0.0))
    step, radius = _LACE_STEP * height, _LACE_RADIUS * height
    reach = int(np.ceil(radius)) + 2
    for row, y in enumerate(np.arange(step, height - step, step)):
        for x in np.arange(step * (1 + 0.5 * (row % 2)), width - step, step):
            around = alpha[int(y) - reach : int(y) + reach + 1, int(x) - reach : int(x) + reach + 1]
            if around.size and around.min() > 0.999:
                canvas.paint([ellipse(x, y, radius, radius)], (255, 255, 255))
    return canvas.rgb[..., 0] / 255

"""The same person in another person's garment: what unpaired try-on should give, which no data set of photos has."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from drawn_people.patterns import PLAIN_SHARE
from drawn_people.person import stage_person


@dataclass(frozen=True)
class DrawnTryOn:
    """A person who wears what another person wore. Body, pose, head, accessories and background are its own.

    Attributes:
        photo: RGB.
        label_map: L, ATR ids.
        keypoints: float32 (18, 2), as in `DrawnPerson`.
    """

    photo: Image.Image
    label_map: Image.Image
    keypoints: np.ndarray


def draw_try_on(
    person: int,
    garment: int,
    category: str,
    width: int = 192,
    height: int = 256,
    plain: float = PLAIN_SHARE,
    layers: bool = False,
    letters: bool = False,
    garment_layers: bool = False,
    garment_letters: bool = False,
) -> DrawnTryOn:
    """Draws the person of one seed in the garment that the person of another seed wears.

    With the person's own seed it is what `draw_person` draws. A narrow skirt moves the legs together, and the feet with
    them.

    Args:
        person: Seed of the person.
        garment: Seed of the person whose garment it is.
        category: Of the garment; one of `CATEGORIES`.
        width: In pixels; 3:4 with the height.
        height: In pixels.
        plain: Chance in [0, 1] that was given when both people were drawn.
        layers: Whether the person was drawn with an open jacket, which then stays.
        letters: Whether the person was drawn with a word on the top.
        garment_layers: As `layers`, for the other person, whose jacket stays behind.
        garment_letters: As `letters`, for the other person.

    Raises:
        ValueError: As for `draw_person`.
    """
    other = stage_person(garment, category, width, height, plain, layers=garment_layers, letters=garment_letters)
    staged = stage_person(person, category, width, height, plain, layers=layers, letters=letters)
    staged = staged.dressed_in(other.designs[category], height)
    canvas = staged.photograph(width, height)
    return DrawnTryOn(canvas.image(), canvas.label_image(), staged.keypoints(width, height))

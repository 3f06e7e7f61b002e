"""The looks of one head, by which hair and face are painted.

Coordinates of the head: origin in the middle of the face, chin at 15, crown at -16.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from drawn_people.body import Body

STYLES = ("short", "side", "buzz", "bob", "long", "wavy", "ponytail", "bun", "curly", "bald")
SIZE = 1.07  # of the head's own units in the figure's


@dataclass
class Head:
    """Looks of one head, drawn by `head.draw_head`.

    Attributes:
        length: Of long hair, below the chin. locks: Which sides fall over the shoulder to the front.
        hat: "", "beanie", "cap" or "brim". glasses: "", "sunglasses" or "plain".
    """

    body: Body
    style: str
    hair: np.ndarray
    part: float
    fringe: float
    length: float
    locks: tuple[bool, bool]
    hat: str
    hat_color: np.ndarray
    glasses: str
    smile: float
    lips: np.ndarray
    beard: float
    phase: float

    def place(self, points: ArrayLike) -> np.ndarray:
        """Head coordinates -> figure coordinates."""
        p = np.asarray(points, np.float64)
        turn = self.body.head_tilt * 0.9
        c, s = np.cos(turn), np.sin(turn)
        return self.body.head + SIZE * np.stack([c * p[:, 0] - s * p[:, 1], s * p[:, 0] + c * p[:, 1]], axis=1)

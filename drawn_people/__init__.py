"""Draws dressed people from a seed, with ground truth: product pictures, label maps, keypoints, captions."""

from drawn_people.attributes import CATEGORIES
from drawn_people.correspondence import draw_correspondence
from drawn_people.garments import DrawnGarment
from drawn_people.patterns import PATTERNS
from drawn_people.person import DrawnPerson, draw_person

__all__ = [
    "CATEGORIES",
    "PATTERNS",
    "DrawnGarment",
    "DrawnPerson",
    "draw_correspondence",
    "draw_person",
]

"""The region of a person that try-on repaints: a rectangle around the garment and the limbs concerned, as FitDiT's, or
closely around both. Lengths are in pixels of a photo whose short side has 768 (`SHORT_SIDE`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from temu_vtoff.errors import check_choice
from temu_vtoff.segmentation.labels import ATR, Labels
from temu_vtoff.segmentation.masks import choose_labels, clean_mask, garments_present
from temu_vtoff.tryon import joints as order
from temu_vtoff.tryon.joints import Joints

SHORT_SIDE = 768
GROWTH = 0.06  # of the garment's longer side: what the tight region adds around it
_ARMS, _LEGS = ("arms", "hands"), ("legs",)
_HEAD, _BAG, _SHOES = ("hat", "glasses", "face"), ("bag",), ("shoes", "feet")
_JAW = range(17)  # of the face's points
_FINGER_ROOTS = (1, 5, 9, 13, 17)  # of a hand's points
_RIGHT_ARM = (order.R_SHOULDER, order.R_ELBOW, order.R_WRIST)
_LEFT_ARM = (order.L_SHOULDER, order.L_ELBOW, order.L_WRIST)
_RIGHT_LEG = (order.R_HIP, order.R_KNEE, order.R_ANKLE)
_LEFT_LEG = (order.L_HIP, order.L_KNEE, order.L_ANKLE)


@dataclass(frozen=True)
class Offsets:
    """How far the rectangle's sides are moved outwards; negative numbers move them inwards."""

    top: float = 0
    bottom: float = 0
    left: float = 0
    right: float = 0


@dataclass(frozen=True)
class _Rule:
    """What a category's region is made of.

    Attributes:
        garment: Parts that are worn there; see `temu_vtoff.segmentation.labels.PARTS`.
        limbs: Parts that are the limbs concerned.
        counted: Those of them that count where joints are known.
        joints: Chains of the body's joints, limb by limb.
        spared: Parts that stay.
        above, below, aside: Room around the rectangle.
        hands: Whether it reaches from the jaw line to the fingers' roots.
    """

    garment: tuple[str, ...]
    limbs: tuple[str, ...]
    counted: tuple[str, ...]
    joints: tuple[tuple[int, ...], ...]
    spared: tuple[str, ...]
    above: float
    below: float
    aside: float
    hands: bool = False


_RULES: Mapping[str, _Rule] = {
    "upper_body": _Rule(
        ("top", "outer", "dress"),
        _ARMS,
        counted=(),
        joints=(_RIGHT_ARM, _LEFT_ARM),
        spared=_HEAD,
        above=20,
        below=10,
        aside=25,
        hands=True,
    ),
    "lower_body": _Rule(
        ("skirt", "pants", "belt"),
        _LEGS,
        counted=(),
        joints=(_RIGHT_LEG, _LEFT_LEG),
        spared=(*_HEAD, *_BAG),
        above=5,
        below=10,
        aside=30,
    ),
    "dresses": _Rule(
        ("top", "outer", "skirt", "pants", "dress"),
        (*_ARMS, *_LEGS),
        counted=_ARMS,
        joints=(_RIGHT_ARM, _LEFT_ARM, _RIGHT_LEG, _LEFT_LEG),
        spared=(*_HEAD, *_BAG, *_SHOES),
        above=20,
        below=10,
        aside=50,
    ),
}


def region_to_repaint(
    label_map: np.ndarray,
    category: str,
    joints: Joints | None = None,
    offsets: Offsets | None = None,
    tight: bool = False,
    labels: Labels = ATR,
) -> np.ndarray:
    """The pixels that are painted again when a person gets another garment.

    The head stays (hat, sunglasses, face), for lower body and dresses the bag too, for dresses the shoes.

    Args:
        label_map: (H, W), ids of `labels`, of one person.
        category: One of `temu_vtoff.segmentation.categories.DATASET_CATEGORIES`.
        joints: Of the same photo, in its pixels; without any, the labels of arms and legs stand for the limbs.
        offsets: Move the sides of the rectangle.
        tight: The garment's and the limbs' own pixels grown by `GROWTH`, instead of the rectangle around them.
        labels: What the ids stand for.

    Returns:
        (H, W), bool.

    Raises:
        GarmentNotFoundError: Nothing is worn there, or there is no person.
        ValueError: Unknown category, offsets of a tight region, or offsets that leave nothing of the rectangle.
    """
    check_choice("category", category, _RULES)
    rule = _RULES[category]
    garment = _garment(label_map, category, rule, labels)
    limbs = clean_mask(np.isin(label_map, labels.ids(*(rule.limbs if tight or joints is None else rule.counted))))
    if tight:
        if offsets not in (None, Offsets()):
            raise ValueError("offsets move the sides of the rectangle; a tight region has none.")
        region = _grown(garment, limbs, rule, joints)
    else:
        region = _rectangle(garment, limbs, rule=rule, joints=joints, offsets=Offsets() if offsets is None else offsets)
    region &= ~np.isin(label_map, labels.ids(*rule.spared))
    if not region.any():
        raise ValueError("the offsets leave nothing of the region to repaint.")
    return region


def _garment(label_map: np.ndarray, category: str, rule: _Rule, labels: Labels) -> np.ndarray:
    """(H, W) bool, without specks. A dress is lower body where neither skirt nor pants are worn."""
    labels.of_category(category)  # raises if they can't tell it
    parts, worn = rule.garment, garments_present(label_map, labels)
    if category == "lower_body" and "dresses" in worn and category not in worn:
        parts = ("dress", "belt")
    worn_ids = labels.ids(*[part for part in parts if part != "belt"])
    choose_labels(label_map, category, labels.name_all(worn_ids), labels)  # raises if nothing is worn there
    return clean_mask(np.isin(label_map, labels.ids(*parts)))


def _rectangle(
    garment: np.ndarray, limbs: np.ndarray, rule: _Rule, joints: Joints | None, offsets: Offsets
) -> np.ndarray:
    height, width = garment.shape
    unit = min(height, width) / SHORT_SIDE
    left, top, right, bottom = _box(_points(garment | limbs))
    above = rule.above
    if joints is not None:
        limbs = _limb_points(joints, rule)
        if len(limbs):
            box = _box(limbs)
            left, top, right, bottom = (*np.minimum((left, top), box[:2]), *np.maximum((right, bottom), box[2:]))
        jaw = joints.seen("face", *_JAW)
        if rule.hands and len(jaw):
            top, above = min(top, jaw[:, 1].max()), 0  # the neck is the garment's to cover
    left, right = left - unit * (rule.aside + offsets.left), right + unit * (rule.aside + offsets.right)
    top, bottom = top - unit * (above + offsets.top), bottom + unit * (rule.below + offsets.bottom)
    region = np.zeros_like(garment)
    rows = slice(max(0, round(top)), max(0, round(bottom) + 1))
    region[rows, max(0, round(left)) : max(0, round(right) + 1)] = True
    return region


def _grown(garment: np.ndarray, limbs: np.ndarray, rule: _Rule, joints: Joints | None) -> np.ndarray:
    left, top, right, bottom = _box(_points(garment))
    reach = max(1.0, GROWTH * max(right - left + 1, bottom - top + 1))
    region = garment | limbs
    if joints is not None:  # limbs behind something else
        lines = Image.fromarray(region)
        draw = ImageDraw.Draw(lines)
        for chain in rule.joints:
            draw.line([tuple(point) for point in joints.seen("body", *chain)], fill=1)
        region = np.array(lines)
    return ndimage.distance_transform_edt(~region) <= reach


def _limb_points(joints: Joints, rule: _Rule) -> np.ndarray:
    """(n, 2), the ends of the limbs: with the arms of an upper-body garment the roots of the fingers."""
    parts = [joints.seen("body", *chain) for chain in rule.joints]
    if rule.hands:
        parts += [joints.seen(hand, *_FINGER_ROOTS) for hand in ("left_hand", "right_hand")]
    return np.concatenate(parts)


def _points(mask: np.ndarray) -> np.ndarray:
    """(n, 2), x and y of a mask's pixels."""
    return np.argwhere(mask)[:, ::-1]


def _box(points: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right and bottom."""
    return (*points.min(0), *points.max(0))

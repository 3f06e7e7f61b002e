"""The categories of garments as data: the parts of a label map that make up each of them.

`upper_body` is everything worn on the upper body, layers included, as in DressCode and in SegFormer's "Upper-clothes".
`outer` and `inner` are its two layers, where the labels tell them apart. All other categories never share a part.
"""

from __future__ import annotations

from dataclasses import dataclass

from temu_vtoff.hub.sources import PUBLISHED_SEGMENTER

LAYERED_SEGMENTER = "sayeed99/segformer-b3-fashion"  # its labels are Fashionpedia's 46


@dataclass(frozen=True)
class Category:
    """A kind of garment.

    Attributes:
        parts: Names from `temu_vtoff.segmentation.labels.PARTS` that make it up.
        neighbours: Parts that serve instead where the garment is absent: segmenters call a long top a dress, and a
            two-piece dress a top and a skirt.
        beside: A part that the labels must have too; without it the category can't be distinguished from another one.
        segmenter: A model whose labels tell it.
    """

    parts: tuple[str, ...]
    neighbours: tuple[str, ...] = ()
    beside: str | None = None
    segmenter: str = PUBLISHED_SEGMENTER


# The release uses only pants for lower_body, so that skirts get an empty mask.
CATEGORIES: dict[str, Category] = {
    "upper_body": Category(("top", "outer"), neighbours=("dress",)),
    "lower_body": Category(("skirt", "pants")),
    "dresses": Category(("dress",), neighbours=("top", "outer", "skirt", "pants")),
    "outer": Category(("outer",), segmenter=LAYERED_SEGMENTER),
    "inner": Category(("top",), beside="outer", segmenter=LAYERED_SEGMENTER),
    "shoes": Category(("shoes",)),
    "bag": Category(("bag",)),
    "hat": Category(("hat",)),
    "scarf": Category(("scarf",)),
    "belt": Category(("belt",)),
}
GARMENT_PARTS = tuple(dict.fromkeys(part for category in CATEGORIES.values() for part in category.parts))
ALL = "all"  # stands for every garment found
LAYERS = ("outer", "inner")  # of upper_body
DATASET_CATEGORIES = ("upper_body", "lower_body", "dresses")  # DressCode's; those of try-on too
TRYOFF_CATEGORIES = (*DATASET_CATEGORIES, *LAYERS)  # what the published weights and the built-in ones draw

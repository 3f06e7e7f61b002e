"""What `measure` measures on: drawn people with the truth about them, and the variants of the pipeline's inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from drawn_people import CATEGORIES, draw_person
from drawn_people.attributes import attributes_right
from temu_vtoff.segmentation.labels import ATR
from temu_vtoff.segmentation.masks import GarmentNotFoundError, mask_picture
from temu_vtoff.stages.options import Options
from temu_vtoff.tryoff.presets import GUIDANCE_SCALE, Preset

if TYPE_CHECKING:
    from temu_vtoff import TryOff

HELD_OUT_SEEDS = 10**15  # training data sets draw below 2^20 x (their seed + 1), their test splits from 2^62
VARIANTS = (
    "full",
    "true_mask_caption",
    "no_caption",
    "other_photo",
    "no_reference",
    "no_fine_mask",
    "published_guidance",
    "cut_out",
    "through_vae",
)


@dataclass
class Case:
    """One garment on one person: the truth, and what segmenter and captioner found in the photo."""

    category: str
    photo: Image.Image
    mask: Image.Image  # the truth, L
    product: Image.Image
    silhouette: Image.Image  # L
    caption: str
    attributes: dict[str, str]
    pattern: str
    found_mask: Image.Image | None = None
    found_caption: str = ""


@dataclass(frozen=True)
class Sampling:
    """How pictures are sampled: keywords of `TryOffPipeline.__call__`, and how many people it takes at once."""

    num_inference_steps: int | None = None
    guidance_scale: float = GUIDANCE_SCALE
    preset: str | Preset = Options.preset
    batch_size: int = 12


def draw_cases(count: int) -> list[Case]:
    """`count` people per category; the categories alternate."""
    cases = []
    for number in range(count):
        for category in CATEGORIES:
            person = draw_person(HELD_OUT_SEEDS + number, category)
            garment = person.garments[category]
            worn = mask_picture(np.isin(np.asarray(person.label_map), ATR.of_category(category)))
            truth = (garment.product, garment.silhouette, garment.caption, garment.attributes, garment.pattern)
            cases.append(Case(category, person.photo, worn, *truth))
    return cases


def segment_and_caption(cases: list[Case], toolkit: TryOff) -> dict[str, float]:
    """Fills in masks and captions, and scores them: mask IoU and share of attributes that are right."""
    ious, right = {}, {}
    for category in CATEGORIES:
        some = [case for case in cases if case.category == category]
        garments = toolkit.segment([case.photo for case in some], category)
        for garment, case in zip(garments, some, strict=True):
            if isinstance(garment.error, GarmentNotFoundError):  # counts as an empty mask
                garment.mask, garment.error = Image.new("L", case.photo.size), None
        toolkit.caption(garments)
        for garment, case in zip(garments, some, strict=True):
            if garment.error is not None:
                raise garment.error
            case.found_mask, case.found_caption = garment.mask, garment.caption
        ious[category] = float(np.mean([overlap(case.found_mask, case.mask) for case in some]))
        hits = [hit for case in some for hit in attributes_right(case.found_caption, case.attributes)]
        right[category] = float(np.mean(hits))
    scores = {f"mask_iou_{category}": value for category, value in ious.items()}
    scores |= {f"attributes_right_{category}": value for category, value in right.items()}
    return scores | {
        "mask_iou": float(np.mean([*ious.values()])),
        "attributes_right": float(np.mean([*right.values()])),
    }


def overlap(found: Image.Image, true: Image.Image) -> float:
    """Intersection over union of two masks."""
    found, true = np.asarray(found) > 0, np.asarray(true) > 0
    return (found & true).sum() / (found | true).sum()


def as_variant(cases: list[Case], variant: str) -> list[Case]:
    """The cases with the inputs of a variant in place of the found masks and captions."""
    if variant == "true_mask_caption":
        return [replace(case, found_mask=case.mask, found_caption=case.caption) for case in cases]
    if variant == "no_caption":
        return [replace(case, found_caption="") for case in cases]
    if variant == "other_photo":  # of the same category, because the categories alternate
        others = cases[len(CATEGORIES) :] + cases[: len(CATEGORIES)]
        return [
            replace(case, photo=other.photo, found_mask=other.found_mask)
            for case, other in zip(cases, others, strict=True)
        ]
    return cases

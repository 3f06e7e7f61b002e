"""What `measure` measures on: drawn people with the truth about them, and the variants of the pipeline's inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from drawn_people import CATEGORIES, DrawnPerson, draw_person
from drawn_people.attributes import attributes_right
from drawn_people.garments import OUTER, OUTER_LABEL, UPPER_LABEL
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
OF_TRUTH = {"true_mask_caption", "cut_out", "through_vae"}  # variants that need neither segmenter nor captioner


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


def draw_cases(count: int, layers: bool = False) -> list[Case]:
    """`count` people per category; the categories alternate.

    Args:
        layers: People with an open jacket over a top instead; the categories are then `LAYERS`.
    """
    cases = []
    for number in range(count):
        if layers:
            person = draw_person(HELD_OUT_SEEDS + number, "upper_body", layers=True)
            cases += [
                _case(person, "outer", OUTER, (OUTER_LABEL,)),
                _case(person, "inner", "upper_body", (UPPER_LABEL,)),
            ]
            continue
        for category in CATEGORIES:
            person = draw_person(HELD_OUT_SEEDS + number, category)
            cases.append(_case(person, category, category, ATR.of_category(category)))
    return cases


def _case(person: DrawnPerson, category: str, garment: str, labels: tuple[int, ...]) -> Case:
    worn, drawn = mask_picture(np.isin(np.asarray(person.label_map), labels)), person.garments[garment]
    truth = (drawn.product, drawn.silhouette, drawn.caption, drawn.attributes, drawn.pattern)
    return Case(category, person.photo, worn, *truth)


def categories_of(cases: list[Case]) -> list[str]:
    """The categories in their order."""
    return list(dict.fromkeys(case.category for case in cases))


def segment_and_caption(cases: list[Case], toolkit: TryOff) -> dict[str, float]:
    """Fills in masks and captions, and scores them: mask IoU and share of attributes that are right."""
    ious, right = {}, {}
    for category in categories_of(cases):
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
        alternating = len(categories_of(cases))
        others = cases[alternating:] + cases[:alternating]
        return [
            replace(case, photo=other.photo, found_mask=other.found_mask)
            for case, other in zip(cases, others, strict=True)
        ]
    return cases

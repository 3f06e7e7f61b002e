"""What `measure_try_on` measures: drawn people who get another's garment, the pictures of a model, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

import command_line
from builtin_training.cases import HELD_OUT_SEEDS, overlap
from builtin_training.products import batches
from drawn_people import CATEGORIES, DrawnPerson, draw_person
from drawn_people.swap import draw_try_on
from temu_vtoff import TryOn
from temu_vtoff.metrics.color_error import rgb_to_lab
from temu_vtoff.metrics.ssim import ssim
from temu_vtoff.pictures import panel, save_picture
from temu_vtoff.segmentation.labels import ATR
from temu_vtoff.segmentation.masks import mask_picture
from temu_vtoff.stages.fitting_room import Person
from temu_vtoff.tryon.fitting import Fitting, put_on


@dataclass
class TryOnCase:
    """A person, another's garment, and the person drawn in it.

    Attributes:
        other: The photo of the other person.
        truth: The person in the garment.
        worn: L, the garment's silhouette in the truth.
        person: What the toolkit found in the photo; its error is kept.
    """

    category: str
    photo: Image.Image
    product: Image.Image
    other: Image.Image
    truth: Image.Image
    worn: Image.Image
    person: Person | None = None


def draw_cases(count: int) -> list[TryOnCase]:
    """`count` people of each category, each in the garment of the next."""
    cases = []
    for category in CATEGORIES:
        people = [draw_person(HELD_OUT_SEEDS + number, category) for number in range(count)]
        cases += [draw_case(category, people, number, (number + 1) % count) for number in range(count)]
    return cases


def draw_case(category: str, people: Sequence[DrawnPerson], number: int, following: int) -> TryOnCase:
    """One of the people of `draw_cases` in the garment of another."""
    person, other = people[number], people[following]
    drawn = draw_try_on(HELD_OUT_SEEDS + number, HELD_OUT_SEEDS + following, category)
    worn = mask_picture(np.isin(np.asarray(drawn.label_map), ATR.of_category(category)))
    return TryOnCase(category, person.photo, other.garments[category].product, other.photo, drawn.photo, worn)


def find_regions(cases: list[TryOnCase], toolkit: TryOn) -> list[TryOnCase]:
    """Fills in the persons as found; those without a region keep their error, and their photo is their picture."""
    for category in dict.fromkeys(case.category for case in cases):
        some = [case for case in cases if case.category == category]
        for case, person in zip(some, toolkit.prepare([case.photo for case in some], category), strict=True):
            case.person = person
    return cases


def make(cases: list[TryOnCase], variant: str, toolkit: TryOn) -> list[Image.Image]:
    """The picture of each case. The model's have seeds by position, and are pasted into the photos."""
    if variant == "person_as_is":
        return [case.photo for case in cases]
    if variant == "product_pasted":
        return [_pasted(case) for case in cases]
    garments = _taken_off(cases, toolkit) if variant == "transfer" else [case.product for case in cases]
    pipe, options, made = toolkit.pipeline(len(cases)), toolkit.options, {}
    pipe.set_progress_bar_config(disable=True)
    width, height = options.size()
    served = [number for number, case in enumerate(cases) if case.person.error is None and garments[number] is not None]
    for batch in command_line.progress(list(batches(served, options.batch_size)), variant):
        fittings = [
            Fitting(cases[i].photo, garments[i], cases[i].person.region, None, cases[i].person.body) for i in batch
        ]
        pictures = put_on(
            pipe,
            fittings,
            [[torch.Generator().manual_seed(i)] for i in batch],
            width=width,
            height=height,
            num_inference_steps=options.num_inference_steps,
            guidance_scale=options.guidance,
        )
        made |= {i: some[0] for i, some in zip(batch, pictures, strict=True)}
    return [made.get(number, case.photo) for number, case in enumerate(cases)]


def score(case: TryOnCase, picture: Image.Image, toolkit: TryOn) -> dict[str, float]:
    """How near a picture comes to the truth.

    Returns:
        ssim of the whole picture; silhouette_iou of the garment that the segmenter finds in it with the true one;
        color_error, the distance of mean Lab colours where the garment truly is; outside_equal, whether everything
        outside the region is the photo's.
    """
    made, truth = (to_tensor(image)[None] for image in (picture, case.truth))
    labels = toolkit.segmenter().label_maps([picture])[0]
    found = mask_picture(np.isin(labels, toolkit.segmenter().labels.of_category(case.category)))
    inside = torch.from_numpy(np.asarray(case.worn) > 0)
    colors = [rgb_to_lab(x)[0][:, inside].mean(1) for x in (made, truth)]
    equal = (np.asarray(picture) == np.asarray(case.photo)).all(2)
    region = np.zeros_like(equal) if case.person.region is None else np.asarray(case.person.region) > 0
    return {
        "ssim": ssim(made, truth).item(),
        "silhouette_iou": float(overlap(found, case.worn)),
        "color_error": (colors[0] - colors[1]).norm().item(),
        "outside_equal": float(equal[~region].all()),
    }


def means(cases: list[TryOnCase], rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean scores by category and over all."""
    groups = {"all": list(range(len(cases)))}
    groups |= {name: [i for i, case in enumerate(cases) if case.category == name] for name in CATEGORIES}
    return {
        group: {name: float(np.mean([rows[i][name] for i in numbers])) for name in rows[0]}
        for group, numbers in groups.items()
    }


def show(cases: list[TryOnCase], pictures: list[Image.Image], path: Path, count: int) -> None:
    """The first people of each category, none chosen: photo, garment, picture, truth."""
    rows = []
    for category in CATEGORIES:
        some = [(c, p) for c, p in zip(cases, pictures, strict=True) if c.category == category][:count]
        rows.append([panel([case.photo, case.product, picture, case.truth]) for case, picture in some])
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (width * count, height * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, shown in enumerate(row):
            sheet.paste(shown, (x * width, y * height))
    save_picture(sheet, path)


def _pasted(case: TryOnCase) -> Image.Image:
    """The garment's pixels, scaled to the box of the region, on the photo."""
    region = case.person.region
    if region is None:
        return case.photo
    cloth = Image.fromarray(((np.asarray(case.product) < 250).any(2) * 255).astype(np.uint8))
    left, top, right, bottom = region.getbbox()
    size = (right - left, bottom - top)
    picture = case.photo.copy()
    box = cloth.getbbox()
    picture.paste(case.product.crop(box).resize(size), (left, top), cloth.crop(box).resize(size))
    return Image.composite(picture, case.photo, region)


def _taken_off(cases: list[TryOnCase], toolkit: TryOn) -> list[Image.Image | None]:
    """Product pictures of what the others wear, by the try-off model; None where it fails."""
    taken: list[Image.Image | None] = []
    for category in CATEGORIES:
        others = [case.other for case in cases if case.category == category]
        products = toolkit.take_off(others, category) if others else []
        taken += [product.images[0] if product.images else None for product in products]
    return taken

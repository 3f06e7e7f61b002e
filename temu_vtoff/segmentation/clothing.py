"""One photo's garment in one call: the function that notebooks import."""

import threading
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image

from temu_vtoff.builtin import BUILTIN
from temu_vtoff.errors import ResultWarning, check_choice
from temu_vtoff.hardware.devices import choose_device
from temu_vtoff.hub.errors import HubUnreachableError
from temu_vtoff.hub.sources import PUBLISHED_SEGMENTER
from temu_vtoff.pictures import open_picture
from temu_vtoff.segmentation.categories import CATEGORIES
from temu_vtoff.segmentation.conversion import convert_label_map
from temu_vtoff.segmentation.layouts import check_layout
from temu_vtoff.segmentation.masks import garment_mask, mask_picture, masked_image
from temu_vtoff.segmentation.people import check_person, one_person
from temu_vtoff.segmentation.segmenter import ClothSegmenter

_loading = threading.Lock()


def segment_clothing(
    img: Image.Image | str | Path,
    category: str = "upper_body",
    clothes: Sequence[str] | None = None,
    model: str | Path = PUBLISHED_SEGMENTER,
    device: str | None = None,
    person: int | None = None,
) -> tuple[Image.Image, Image.Image]:
    """The garment's mask, and the photo with the garment greyed out.

    Args:
        img: A photo in any mode, or its path; EXIF rotation is applied first.
        category: A key of `temu_vtoff.segmentation.categories.CATEGORIES`: "upper_body", "lower_body", "dresses", …
        clothes: Names of the model's labels ("Upper-clothes", "Dress", …) that make up the garment, instead of the
            category's.
        model: SegFormer by hub id or folder, or "builtin"; it stays loaded. When the hub can't be reached, the
            built-in model is used as long as the process runs, with a warning at each call.
        device: "cpu", "cuda", …; by default the best available.
        person: Whose garment, from left to right, from 1. Left out, the largest person's, with a warning that says how
            many there are.

    Returns:
        Mask (L, 255 on the garment, 0 elsewhere) and masked image (RGB, the garment at grey 128), both at the size of
        the upright photo.

    Raises:
        GarmentNotFoundError: The garment is not in the photo.
        ValueError: Unknown category, label or device; a category that the model's labels can't tell; no such person;
            not a picture; a model that can't be loaded.
        FileNotFoundError: No such photo.
    """
    check_choice("category", category, CATEGORIES)  # before the model is loaded
    check_person(person)
    photo = open_picture(img)
    segmenter, warned = _segmenter(model, device)
    labels = segmenter.labels
    one = one_person(segmenter.label_maps([photo])[0], labels, person, details=clothes is not None)
    garment = garment_mask(one.label_map, category, clothes, labels)
    _warn(warned, one.note, garment.note)
    return mask_picture(garment.mask), masked_image(photo, garment.mask)


def dataset_label_map(
    img: Image.Image | str | Path,
    layout: str,
    model: str | Path = PUBLISHED_SEGMENTER,
    device: str | None = None,
    person: int | None = None,
) -> Image.Image:
    """The photo's label map in a dataset's ids; see `temu_vtoff.segmentation.layouts.convert_label_map`.

    Arguments not listed here, and errors, are those of `segment_clothing`.

    Args:
        layout: "dresscode" or "vitonhd".
    """
    check_layout(layout)
    check_person(person)
    photo = open_picture(img)
    segmenter, warned = _segmenter(model, device)
    one = one_person(segmenter.label_maps([photo])[0], segmenter.labels, person)
    _warn(warned, one.note)
    return convert_label_map(one.label_map, segmenter.labels, layout)


def _segmenter(model: str | Path, device: str | None) -> tuple[ClothSegmenter, str | None]:
    """The model, and a warning if it is not the one that was asked for."""
    with _loading:  # simultaneous calls load the model once
        return _load(str(model), device)


def _warn(*notes: str | None) -> None:
    for note in notes:
        if note is not None:
            warnings.warn(note, ResultWarning, stacklevel=3)


@lru_cache(maxsize=2)
def _load(model: str, device: str | None) -> tuple[ClothSegmenter, str | None]:
    """The model, or without the hub the built-in one and a warning, cached: asking the hub again takes 20 seconds."""
    chosen = choose_device(device)
    try:
        return ClothSegmenter.from_pretrained(model, chosen), None
    except HubUnreachableError as error:
        instead = ClothSegmenter.from_pretrained(BUILTIN, chosen)
        return instead, (
            f"{error} THE BUILT-IN SEGMENTER IS USED INSTEAD. It knows drawn people only; for photographs use the "
            f"model {PUBLISHED_SEGMENTER}."
        )

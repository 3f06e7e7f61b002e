"""One photo's garment in one call: the function that notebooks import."""

import threading
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image

from temu_vtoff.builtin import BUILTIN
from temu_vtoff.errors import ResultWarning
from temu_vtoff.hardware.devices import choose_device
from temu_vtoff.hub.errors import HubUnreachableError
from temu_vtoff.hub.sources import PUBLISHED_SEGMENTER
from temu_vtoff.pictures import open_picture
from temu_vtoff.segmentation.masks import garment_mask, label_ids, mask_picture, masked_image
from temu_vtoff.segmentation.segmenter import ClothSegmenter

_loading = threading.Lock()


def segment_clothing(
    img: Image.Image | str | Path,
    category: str = "upper_body",
    clothes: Sequence[str] | None = None,
    model: str | Path = PUBLISHED_SEGMENTER,
    device: str | None = None,
) -> tuple[Image.Image, Image.Image]:
    """The garment's mask, and the photo with the garment greyed out.

    Args:
        img: A photo in any mode, or its path; EXIF rotation is applied first.
        category: "upper_body", "lower_body" or "dresses".
        clothes: Names of labels ("Upper-clothes", "Dress", …) that make up the garment, instead of the category's.
        model: SegFormer by hub id or folder, or "builtin"; it stays loaded. When the hub can't be reached, the
            built-in model is used as long as the process runs, with a warning at each call.
        device: "cpu", "cuda", …; by default the best available.

    Returns:
        Mask (L, 255 on the garment, 0 elsewhere) and masked image (RGB, the garment at grey 128), both at the size of
        the upright photo.

    Raises:
        GarmentNotFoundError: The garment is not in the photo.
        ValueError: Unknown category, label or device; not a picture; a model that can't be loaded.
        FileNotFoundError: No such photo.
    """
    label_ids(category, clothes)  # raises before the model is loaded
    photo = open_picture(img)
    with _loading:  # simultaneous calls load the model once
        segmenter, trouble = _load(str(model), device)
    if trouble is not None:
        warnings.warn(trouble, ResultWarning, stacklevel=2)
    garment = garment_mask(segmenter.label_maps([photo])[0], category, clothes)
    if garment.note is not None:
        warnings.warn(garment.note, ResultWarning, stacklevel=2)
    return mask_picture(garment.mask), masked_image(photo, garment.mask)


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

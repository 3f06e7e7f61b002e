"""After the generation: the pictures of several tries, their scores, the best first, and their finishing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PIL import Image

from temu_vtoff.finishing import finish_picture
from temu_vtoff.finishing.finish import Finish
from temu_vtoff.pictures import picture_size
from temu_vtoff.stages.garment import Product
from temu_vtoff.stages.quality import Embed, judge
from temu_vtoff.stages.selection import Selection


def joined(first: Product | None, second: Product) -> Product:
    """The pictures of two tries."""
    if first is None:
        return second
    return replace(
        first,
        images=first.images + second.images,
        seeds=first.seeds + second.seeds,
        seconds=round(first.seconds + second.seconds, 3),
    )


def judged(product: Product, pipe: Any, captioner: Callable[..., list[str]] | None = None) -> Product:
    """The product with the quality of its pictures."""
    captions = None
    if captioner is not None:
        captions = captioner(product.images, [product.garment.category] * len(product.images), "garment")
    quality = judge(
        product.images,
        product.photo,
        product.mask,
        embed=image_encoder(pipe),
        caption=product.garment.caption,
        captions=captions,
    )
    return replace(product, quality=quality)


def image_encoder(pipe: Any) -> Embed | None:
    """The pipeline's image encoders, if it has any."""
    encoders = [getattr(pipe, name, None) for name in ("image_encoder_large", "image_encoder_bigG")]
    return None if None in encoders else pipe.encode_image


def finished(
    product: Product, finish: Finish | None, upscaler: Callable[[Image.Image], Image.Image] | None = None
) -> Product:
    """The product with its finished pictures."""
    if finish is None:
        return replace(product, finished=list(product.images))
    size = picture_size(product.garment.photo) if finish.keep_size else None
    pictures = [finish_picture(image, finish, photo_size=size, upscaler=upscaler) for image in product.images]
    return replace(product, finished=pictures)


def is_content(product: Product, selection: Selection) -> bool:
    """Whether the best picture is good enough."""
    least = selection.min_quality
    return least is None or max(quality.score for quality in product.quality) >= least


def kept(product: Product, selection: Selection) -> Product:
    """The product with the pictures that are kept."""
    if selection.keep is None:
        return product
    order = sorted(range(len(product.images)), key=lambda number: -product.quality[number].score)  # stable
    chosen = order[: selection.keep]
    parts = {name: getattr(product, name) for name in ("images", "quality", "seeds")}
    return replace(product, **{name: [part[number] for number in chosen] for name, part in parts.items()})

"""Batches of garments, or of persons and garments, in which the error of one does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from PIL import Image

from temu_vtoff.segmentation.labels import Labels
from temu_vtoff.serving import ErrorRow, results_of

if TYPE_CHECKING:
    from temu_vtoff.segmentation.segmenter import ClothSegmenter  # imports torch, for which --help does not wait


class CanFail(Protocol):
    """A garment, or whatever goes through a stage."""

    error: Exception | None


Item = TypeVar("Item", bound=CanFail)
Content = TypeVar("Content")
Model = TypeVar("Model")
Result = TypeVar("Result")


def attempt(item: Item, work: Callable[[Item], Result]) -> Result | None:
    """The result of the work on an item; None when it fails, and the item then keeps the error."""
    try:
        return work(item)
    except Exception as error:  # damaged files raise all kinds of errors; only this item is left out
        item.error = error
        return None


def serve_each(
    batch: Sequence[Item],
    *,
    read: Callable[[Item], Content | None],
    load: Callable[[], Model],
    serve: Callable[[Model, Sequence[tuple[Item, Content]]], Sequence[Result | None]],
    row: ErrorRow,
) -> Iterator[tuple[Item, Result | None]]:
    """Yields the items of a batch, each with its result; with None where there is none. Items keep their errors.

    Args:
        read: What the model needs of an item; None where there is nothing to do.
        load: Returns the model; called only where something was read.
        serve: The results of several items. If it fails, it is called for each item alone.
        row: Shared by the batches of a stage.

    Raises:
        CommonCauseError: No item can be served; see `results_of`.
    """
    contents = [(item, attempt(item, read)) for item in batch if item.error is None]
    served = [(item, content) for item, content in contents if content is not None]
    results: dict[Item, Result | None] = {}
    if served:
        for (item, _), result in results_of(partial(serve, load()), served, row):
            if isinstance(result, Exception):
                item.error = result
            else:
                results[item] = result
    for item in batch:
        yield item, results.get(item)


def segment_each(
    work: Callable[[Item, Image.Image, np.ndarray, Labels], Result],
    segmenter: ClothSegmenter,
    read: Sequence[tuple[Item, Image.Image]],
) -> list[Result | None]:
    """The results of `work` on item, photo, label map (H, W) and labels; None where it fails, as for `attempt`."""
    label_maps = segmenter.label_maps([photo for _, photo in read])
    return [
        attempt(item, lambda one, photo=photo, label_map=label_map: work(one, photo, label_map, segmenter.labels))
        for (item, photo), label_map in zip(read, label_maps, strict=True)
    ]

"""Batches of garments, or of persons and garments, in which the error of one does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from temu_vtoff.serving import ErrorRow, results_of


class CanFail(Protocol):
    """A garment, or whatever goes through a stage."""

    error: Exception | None


Garment = TypeVar("Garment", bound=CanFail)
Item = TypeVar("Item")


def attempt(garment: Garment, work: Callable[[Garment], Item]) -> Item | None:
    """The result of the work on a garment; None when it fails, and the garment then keeps the error."""
    try:
        return work(garment)
    except Exception as error:  # damaged files raise all kinds of errors; only this garment is left out
        garment.error = error
        return None


def read_each(batch: list[Garment], read: Callable[[Garment], Item]) -> list[tuple[Garment, Item]]:
    """The garments without an error, each with what `read` returns for it; what can't be read becomes an error."""
    sound = [garment for garment in batch if garment.error is None]
    results = [(garment, attempt(garment, read)) for garment in sound]
    return [(garment, result) for garment, result in results if result is not None]


def serve_each(
    read: list[tuple[Garment, Item]], serve: Callable[[Sequence[tuple[Garment, Item]]], None], row: ErrorRow
) -> None:
    """Serves a batch; if it fails because of a garment, serves each garment alone.

    Args:
        row: Shared by the batches of a stage.

    Raises:
        CommonCauseError: No garment can be served; see `results_of`.
    """

    def make(some: Sequence[tuple[Garment, Item]]) -> list[None]:
        serve(some)
        return [None] * len(some)

    for (garment, _), result in results_of(make, read, row):
        if result is not None:
            garment.error = result

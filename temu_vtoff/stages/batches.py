"""Batches of garments in which the trouble of one stays its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.stages.garment import Garment

Item = TypeVar("Item")


def attempt(garment: Garment, work: Callable[[Garment], Item]) -> Item | None:
    """What the work makes of a garment; None when it fails, and then the garment keeps the error."""
    try:
        return work(garment)
    except Exception as error:  # damaged files raise all kinds; this garment alone is left out
        garment.error = error
        return None


def read_each(batch: list[Garment], read: Callable[[Garment], Item]) -> list[tuple[Garment, Item]]:
    """The garments without an error, with what is read for them; what can't be read becomes an error."""
    sound = [garment for garment in batch if garment.error is None]
    results = [(garment, attempt(garment, read)) for garment in sound]
    return [(garment, result) for garment, result in results if result is not None]


def serve_each(read: list[tuple[Garment, Item]], serve: Callable[[list[tuple[Garment, Item]]], None]) -> None:
    """Serves a batch; when one of its garments is at fault, each alone.

    Raises:
        CheckpointError: The stage's model can't be had, which no other garment would change.
    """
    if not read:
        return
    try:
        serve(read)
    except CheckpointError:
        raise
    except ValueError as error:
        if len(read) == 1:
            read[0][0].error = error
            return
        for one in read:
            serve_each([one], serve)

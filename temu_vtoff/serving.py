"""Batches of items through a model, in which the error of one item does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from temu_vtoff.errors import CommonCauseError, is_of_killed_reader, is_out_of_gpu_memory, of_file, reason_of

MOST_IN_A_ROW = 10  # equal errors of single items: the next item would fail too, as on a GPU that is gone
Item = TypeVar("Item")
Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class RepeatedFailureError(CommonCauseError):
    """Item after item failed in the same way, so that the cause is in none of them."""


class ErrorRow:
    """Counts equal errors of items that follow each other."""

    def __init__(self) -> None:
        self._last: tuple[type[Exception], str] | None = None
        self._count = 0

    def success(self) -> None:
        """The next error is the first of a row."""
        self._last, self._count = None, 0

    def failure(self, error: Exception) -> None:
        """
        Raises:
            RepeatedFailureError: The error came `MOST_IN_A_ROW` times in a row.
        """
        kind = (type(error), str(error))
        self._count = self._count + 1 if kind == self._last else 1
        self._last = kind
        if self._count >= MOST_IN_A_ROW:
            raise RepeatedFailureError(
                f"The last {self._count} items failed in the same way, so the others are not tried; what is finished "
                f"stays: {describe(error)}"
            ) from error


def results_of(
    make: Callable[[Sequence[Item]], Sequence[Result | Exception]], items: Sequence[Item], row: ErrorRow
) -> Iterator[tuple[Item, Result | Exception]]:
    """Yields the items of a batch, each with its result or its error. If a batch fails, each item is tried alone.

    Args:
        make: Computes the results of several items; an exception among its results fails that item.
        row: Shared by the batches of a stage.

    Raises:
        CommonCauseError: Raised by `make`, or the same error came for item after item.
        RuntimeError: A GPU is out of memory, which it would be for other items too, or a reading process was killed.
    """
    if not items:
        return
    try:
        results = make(items)
    except CommonCauseError:
        raise
    except Exception as error:  # models and libraries raise all kinds on odd inputs
        if is_out_of_gpu_memory(error) or is_of_killed_reader(error):
            raise
        if len(items) > 1:
            for item in items:
                yield from results_of(make, [item], row)
            return
        logger.debug("An item failed.", exc_info=error)
        results = [error]
    for item, result in zip(items, results, strict=True):
        if isinstance(result, Exception):
            row.failure(result)
        else:
            row.success()
        yield item, result


def describe(error: Exception) -> str:
    """The error on one line, with its class where the text alone is terse."""
    if (sentence := of_file(error)) is not None:
        return sentence
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, OSError)) and text:
        return text
    if isinstance(error, MemoryError) or not text:
        return reason_of(error)
    return f"{type(error).__name__}: {text}"

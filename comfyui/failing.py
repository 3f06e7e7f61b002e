"""Errors as ComfyUI shows them: one sentence in the node, with the node's own names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import comfy.model_management as model_management

from temu_vtoff.errors import ArgumentError, is_out_of_memory
from temu_vtoff.serving import describe

NAMES = {  # library's argument -> the node's input, where the names differ
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "tryoff": "source",
    "garment_from": "the picture that Try Off makes of it",
}


class NodeError(ValueError):
    """What failed, as one sentence."""


@contextmanager
def one_sentence(names: dict[str, str] | None = None) -> Iterator[None]:
    """Turns errors into one sentence. Interruptions and full memory are left to ComfyUI, which has its own words.

    Args:
        names: As `NAMES`, which it adds to.
    """
    try:
        yield
    except (NodeError, model_management.InterruptProcessingException):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise NodeError(explain(error, names)) from error


def explain(error: Exception, names: dict[str, str] | None = None) -> str:
    """The error on one line."""
    if isinstance(error, ArgumentError):
        shown = NAMES | (names or {})
        return " ".join(error.phrase(lambda name: shown.get(name, name)).split())
    return describe(error)


def check_all(errors: Sequence[Exception | None], what: str) -> list[str]:
    """One line for each item that failed, among others that did not.

    Raises:
        NodeError: All of them failed.
    """
    lines = numbered([None if error is None else explain(error) for error in errors], what)
    if lines and all(error is not None for error in errors):
        raise NodeError(explain(errors[0]) if len(errors) == 1 else lines[0])
    return lines


def numbered(sentences: Sequence[str | None], what: str) -> list[str]:
    """The sentences that there are, each behind its item's number; a single item needs none."""
    place: Callable[[int], str] = lambda number: f"{what} {number}: " if len(sentences) > 1 else ""
    return [f"{place(number)}{sentence}" for number, sentence in enumerate(sentences, 1) if sentence]

"""Fields that several parts of the page have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from web_page.messages import CATEGORY_NAMES

Shown = dict[gr.components.Component, Any]  # what a handler answers: new values by component


def afterwards(event: Any, *what: Any, **how: Any) -> None:
    """Calls a handler after an event, however it went: `then` alone passes over one that the queue has turned away."""
    event.then(*what, **how)
    event.failure(*what, **how)


def category_choices(categories: Sequence[str]) -> list[tuple[str, str]]:
    """The garments as visitors read them, and their names in the library."""
    return [(CATEGORY_NAMES[name], name) for name in categories]


def pictures_field(title: str, **options: Any) -> gr.Gallery:
    """A gallery of whole pictures, as many in a row as there is room for, with their captions."""
    return gr.Gallery(
        label=title,
        format="png",
        type="filepath",
        object_fit="contain",
        height="auto",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_classes="pictures",
        **options,
    )


def example_photos(field: gr.Image, photos: list[Path], elem_id: str) -> gr.Dataset:
    """Photos to click; what is clicked is told by its number."""
    return gr.Dataset(
        components=[field],
        samples=[[str(path)] for path in photos],
        type="index",
        label="Or an example",
        elem_id=elem_id,
    )


def photo_upload(label: str, elem_id: str) -> gr.Image:
    """A picture field for files, the webcam and the clipboard. It hands over the uploaded file unread:
    `web_page.photos` decides what is decoded.

    The method is set on the field itself, because Gradio writes a .pyi file beside every subclass's source. So no
    handler may answer with a new `gr.Image` for it, which would lose the method; values are fine.
    """
    field = gr.Image(
        label=label,
        show_label=False,
        sources=["upload", "webcam", "clipboard"],
        format="png",
        image_mode=None,
        type="filepath",
        height=260,
        buttons=["fullscreen"],
        elem_id=elem_id,
        elem_classes="photo",
    )
    field.preprocess = lambda payload: None if payload is None else payload.path
    return field

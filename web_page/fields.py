"""Fields that several parts of the page have."""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from web_page.found import Found
from web_page.messages import CATEGORY_NAMES, LABELS

Shown = dict[gr.components.Component, Any]  # what a handler answers: new values by component


def afterwards(event: Any, *what: Any, **how: Any) -> None:
    """Calls a handler after an event, however it went: `then` alone passes over one that the queue has turned away."""
    event.then(*what, **how)
    event.failure(*what, **how)


def category_choices(categories: Sequence[str]) -> list[tuple[str, str]]:
    """The garments as visitors read them, and their names in the library."""
    return [(CATEGORY_NAMES[name], name) for name in categories]


def person_field(elem_id: str) -> gr.Radio:
    """Whose garment, in a photo of several people; `several_people` shows it."""
    return gr.Radio(
        [], label=LABELS["person"], info="from left to right", visible=False, interactive=True, elem_id=elem_id
    )


def several_people(found: Found) -> gr.Radio:
    """The value of `person_field` for a photo."""
    several = found.people > 1
    return gr.Radio(list(range(1, found.people + 1)), value=found.person if several else None, visible=several)


def sentences_field(elem_id: str) -> gr.Markdown:
    """A few sentences, hidden while there are none; `said` is its value."""
    return gr.Markdown(visible=False, elem_id=elem_id)


def said(sentences: Iterable[str]) -> gr.Markdown:
    """The value of `sentences_field`."""
    words = " ".join(html.escape(one, quote=False) for one in sentences)
    return gr.Markdown(words, visible=bool(words))


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
    """Photos to click; the event's value is the photo's index."""
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

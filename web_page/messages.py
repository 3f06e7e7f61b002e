"""The page's messages: progress and errors, in everyday words."""

import errno
import html
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import gradio as gr

from temu_vtoff.errors import ArgumentError, is_out_of_memory
from temu_vtoff.segmentation.masks import GarmentNotFoundError
from temu_vtoff.stages.quality import Quality
from web_page.run import Step

logger = logging.getLogger(__name__)

CATEGORY_NAMES = {
    "upper_body": "Upper body",
    "lower_body": "Lower body",
    "dresses": "Dress",
    "outer": "Jacket or coat",
    "inner": "Under it",
}
LABELS = {  # of the page's fields, by the library's names of arguments
    "category": "Garment",
    "prompt": "Caption",
    "seed": "Seed",
    "num_inference_steps": "Steps",
    "guidance_scale": "Guidance",
    "width": "Size",
    "height": "Size",
    "num_images": "Pictures of a garment",
    "resize_mode": "Fit",
    "person": "Person",
    "background": "Background",
    "margin": "Margin",
    "output_format": "Format",
}
PEOPLES_WORDS = {  # for the segmenter's labels
    "Hat": "a hat",
    "Hair": "hair",
    "Sunglasses": "glasses",
    "Upper-clothes": "a top",
    "Skirt": "a skirt",
    "Pants": "trousers",
    "Dress": "a dress",
    "Belt": "a belt",
    "Left-shoe": "shoes",
    "Right-shoe": "shoes",
    "Face": "a face",
    "Left-leg": "legs",
    "Right-leg": "legs",
    "Left-arm": "arms",
    "Right-arm": "arms",
    "Bag": "a bag",
    "Scarf": "a scarf",
    "Outer-clothes": "an open jacket",
}
GARMENT_WORDS = {
    "upper_body": "top",
    "lower_body": "skirt or trousers",
    "dresses": "dress",
    "outer": "jacket or coat over something",
    "inner": "top under a jacket",
}
PHOTOGRAPH = (
    "This looks like a photograph. The small model of this page knows drawn people only, so don't trust its picture."
)
FULL = "Too many people are waiting just now: nothing of yours is lost, press again in a minute."
OUT_OF_MEMORY = "the memory did not suffice: choose a smaller size or fewer pictures."
FAULT = "something went wrong here, and it isn't your photo's fault; the server's log says what."


class Mistake(ValueError):
    """What a visitor can mend, as one sentence that they may read."""


def in_words(labels: Sequence[str]) -> str:
    """The segmenter's labels in words of people: "a top, trousers and shoes"."""
    words = list(dict.fromkeys(PEOPLES_WORDS.get(label, label.lower()) for label in labels))
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def sentence(words: str) -> str:
    """The words with a capital letter and a full stop."""
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def mark(quality: Quality) -> str:
    """The score of a product picture."""
    return f"Quality {100 * quality.score:.0f} of 100."


def doubts(quality: Quality) -> str:
    """What is suspicious about a product picture; empty when nothing is."""
    return sentence(f"Look closely: {'; '.join(quality.doubts)}") if quality.doubts else ""


def not_found(category: str, found: Sequence[str]) -> str:
    """That the garment is not in the photo, and what is."""
    seen = f"it shows {in_words(found)}" if found else "no person was found in it either"
    return f"No {GARMENT_WORDS[category]} was found in the photo; {seen}."


def explain(error: BaseException) -> str | None:
    """One sentence for an error that a visitor can mend, or None for a fault of ours."""
    if isinstance(error, ArgumentError):
        return error.phrase(lambda name: LABELS.get(name, name.replace("_", " ")))
    if isinstance(error, (Mistake, GarmentNotFoundError)):
        return str(error)
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "this server's disk is full."
    return None


@contextmanager
def errors_in_one_sentence() -> Iterator[None]:
    """Turns a visitor's mistake into one sentence on the page, and hides everything else."""
    try:
        yield
    except gr.Error:
        raise
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            logger.exception("The page failed at a request.")
            sentence = FAULT
        raise gr.Error(html.escape(sentence, quote=False), print_exception=False) from error


def status(step: Step | None = None) -> str:
    """The line of progress as HTML; nothing without a step."""
    if step is None:
        return ""
    return (
        f'<div class="step"><progress value="{step.share:.3f}"></progress><span>{html.escape(step.text)}</span></div>'
    )

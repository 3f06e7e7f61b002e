"""What visitors are told: how far their picture is, and what was wrong."""

import html
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from command_line import explain
from web_page.visits import Step

logger = logging.getLogger(__name__)


@contextmanager
def told_in_one_sentence() -> Iterator[None]:
    """Turns a visitor's mistake into the sentence that the command line prints, and hides everything else."""
    try:
        yield
    except (gr.Error, GeneratorExit):
        raise
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            logger.exception("The page failed at a request.")
            sentence = "something went wrong here, and it isn't your photo's fault; the server's log tells what."
        raise gr.Error(html.escape(sentence, quote=False), print_exception=False) from error


def status(step: Step | None = None) -> str:
    """The line of progress as HTML; nothing without a step."""
    if step is None:
        return ""
    return (
        f'<div class="step"><progress value="{step.share:.3f}"></progress><span>{html.escape(step.text)}</span></div>'
    )

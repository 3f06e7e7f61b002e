"""What all tabs share: the buttons that begin and stop the work, and the line that shows its progress."""

from typing import Any

import gradio as gr

from web_page.fields import Shown, afterwards
from web_page.studio import Studio

ON_PAGE = {"api_visibility": "private", "show_progress": "minimal"}
AT_ONCE = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
ONE_AT_A_TIME = {"concurrency_limit": 1, "concurrency_id": "models"}


class WorkTab:
    """
    Args:
        studio: Does the work.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def build_buttons(self, verb: str, make: str, stop: str) -> None:
        """
        Args:
            verb: What stands on the button that begins the work.
            make: Id of that button.
            stop: Id of the button that stops it.
        """
        with gr.Row(elem_classes="side-by-side"):
            self.make = gr.Button(verb, variant="primary", interactive=False, elem_id=make)
            self.stop = gr.Button("Stop", interactive=False, elem_id=stop)

    def settled(self, event: Any, needed: list[Any]) -> None:
        """Calls `settle` after an event, however it went.

        Args:
            needed: Fields without which there is nothing to do.
        """
        afterwards(event, self.settle, needed, [self.make, self.stop, self.progress], **AT_ONCE)

    def begin(self) -> Shown:
        return {self.make: gr.Button(interactive=False), self.stop: gr.Button(interactive=True)}

    def settle(self, *needed: Any) -> Shown:
        """After any work, whether it went well or not: what can be pressed."""
        return {
            self.make: gr.Button(interactive=all(needed)),
            self.stop: gr.Button(interactive=False),
            self.progress: "",
        }

    def stop_work(self, visitor: gr.Request) -> None:
        """Ends the visitor's work after its current step."""
        self.studio.visits.stop(visitor.session_hash)

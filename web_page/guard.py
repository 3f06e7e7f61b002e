"""The page as Gradio's Blocks: only files that visitors have uploaded here get in, and a full queue says so.

Gradio checks a file that comes with a request only when it is marked as one; `Page` checks every path of every event,
public or private, before a component or a handler sees it.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import HTTPException

from web_page.messages import FULL
from web_page.visits import Visits

EXAMPLES = "examples"  # the folder of the photos that everybody may use
REFUSED = "this file was not uploaded to this page: upload it first."
_UPLOADED = re.compile(r"[0-9a-f]{64}")  # the folders that Gradio makes for uploads, named by a keyed hash


class Page(gr.Blocks):
    """Blocks that check the files of every event, and keep them as long as the visit lasts.

    Args:
        visits: Their folder is that of the uploads.
        options: Of `gr.Blocks`.
    """

    def __init__(self, visits: Visits, **options: Any) -> None:
        super().__init__(**options)
        self.visits = visits

    def queue(self, *args: Any, **options: Any) -> "Page":
        """As Gradio's; who is turned away reads `FULL`.

        The page's own events get it with status 429: at Gradio's 503 the browser shows other words. Gradio's client for
        programs has a sentence of its own at 503.
        """
        super().queue(*args, **options)
        push = self._queue.push

        async def push_or_say(body: Any, *args: Any, **options: Any) -> tuple[bool, Any, str]:
            done, answer, state = await push(body, *args, **options)
            if state != "queue_full":
                return done, answer, state
            if self.fns[body.fn_index].api_visibility == "private":
                raise HTTPException(429, FULL)
            return done, FULL, state

        self._queue.push = push_or_say
        return self

    async def process_api(self, block_fn: Any, inputs: list[Any], *args: Any, **options: Any) -> dict[str, Any]:
        visitor, event = options.get("session_hash"), options.get("event_data")
        inputs = self.checked(inputs, visitor)
        if event is not None:
            event._data = self.checked(event._data, visitor)
        function = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        if function.api_visibility == "public":  # programs may leave the last arguments out
            inputs = [*inputs, *(field.value for field in function.inputs[len(inputs) :])]
        self.visits.claim(visitor, _files(inputs))
        answer = await super().process_api(block_fn, inputs, *args, **options)
        self.visits.claim(visitor, _files(answer["data"]))
        return answer

    def checked(self, value: Any, visitor: str | None) -> Any:
        """The value of a request with every file in it checked, and nothing left of a file but its path and name.

        Raises:
            gr.Error: One of them is not an uploaded file. The same words whether it exists or not.
        """
        if isinstance(value, list):
            return [self.checked(one, visitor) for one in value]
        if not isinstance(value, dict):
            return value
        if not {"path", "url", "meta"} & value.keys():
            return {key: self.checked(one, visitor) for key, one in value.items()}
        if not self.is_uploaded(value.get("path"), visitor):
            raise gr.Error(REFUSED, print_exception=False)
        name = value.get("orig_name")
        kept = {"path": os.path.realpath(value["path"]), "meta": {"_type": "gradio.FileData"}}
        return kept | ({"orig_name": Path(name).name} if isinstance(name, str) else {})

    def is_uploaded(self, path: Any, visitor: str | None) -> bool:
        """Whether this is the absolute path of an uploaded file, an example, or a file made for this visitor."""
        if not isinstance(path, str) or "\0" in path or not os.path.isabs(path) or ".." in Path(path).parts:
            return False
        file, uploads = Path(os.path.realpath(path)), self.visits.folder  # symlinks resolved
        if not file.is_file() or not file.is_relative_to(uploads):
            return False
        folder = file.relative_to(uploads).parent
        shared = len(folder.parts) == 1 and (folder.name == EXAMPLES or bool(_UPLOADED.fullmatch(folder.name)))
        return shared or self.visits.owns(visitor, uploads / folder)


def _files(value: Any) -> Iterator[Path]:
    """The files in the value of a request or an answer."""
    if isinstance(value, dict) and isinstance(value.get("path"), str):
        yield Path(os.path.realpath(value["path"]))
    elif isinstance(value, (dict, list, tuple)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _files(one)

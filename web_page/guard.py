"""What is let in: requests to this server's own names, and files that visitors have uploaded here.

Gradio checks a file that comes with a request only when it is marked as one; `Page` checks every path of every event,
public or private, before a component or a handler sees it.
"""

import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from web_page.visits import Visits

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # of `--host`: the whole network
EXAMPLES = "examples"  # the folder of the photos that everybody may use
REFUSED = "this file was not uploaded to this page: upload it first."
_UPLOADED = re.compile(r"[0-9a-f]{64}")  # the folders that Gradio makes for uploads, named by a keyed hash
# Doors of Gradio that this page has no use for: files and pages of other servers, recordings, saved states, monitoring.
_UNUSED = re.compile(
    r"^/(gradio_api/)?(file[=/][a-z0-9+.-]+:|proxy=|process_recording|deep_link|component_server|monitoring|"
    r"vibe-|undo-vibe|runs|run-history|stream/|custom_component|profiling)",
    re.IGNORECASE,
)
_HEARTBEAT = re.compile(r"^/gradio_api/heartbeat/([^/]+)$")  # a connection that is open as long as the visitor is here


class Hosts:
    """Names by which this server may be called.

    A page of another site can point a name of its own at this server's address and read what it answers (DNS
    rebinding); the browser still sends that name, so unknown names are refused. Addresses can't be forged so.

    Args:
        listening: The address to listen on.
        further: More names, for a server behind a proxy.
    """

    def __init__(self, listening: str = "127.0.0.1", further: Iterable[str] = ()) -> None:
        self.any_address = listening in EVERY_ADDRESS
        own = {socket.gethostname(), socket.getfqdn()} if self.any_address else {listening}
        self.names = {name.lower().strip("[]") for name in (*LOOPBACK, *own, *further)}

    def add(self, address: str | None) -> None:
        """Lets in those who use the host of this URL; None changes nothing."""
        if address is not None:
            self.names.add(_name(urlsplit(address).netloc))

    def knows(self, host: str) -> bool:
        """Whether the value of a Host header, with or without a port, is one of the names."""
        name = _name(host)
        return name in self.names or (self.any_address and _is_address(name))


class Gate:
    """ASGI middleware: refuses unknown hosts, requests that pages of other sites send, and doors that nobody needs.

    It also counts the connections by which visitors show that they are here.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, visits: Visits) -> None:
        self.app, self.hosts, self.visits = app, hosts, visits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        hosts = [value for name, value in headers if name == b"host"]
        origins = [value for name, value in headers if name == b"origin"]
        if len(hosts) != 1 or not self.hosts.knows(hosts[0]):
            answer = PlainTextResponse("This server has another name. Who runs it can allow this one.", 421)
        elif not all(self.hosts.knows(urlsplit(origin).netloc) for origin in origins):
            answer = PlainTextResponse("Pages of other sites may not use this server.", 403)
        elif scope["type"] != "http" or _UNUSED.match(scope["path"]):
            answer = PlainTextResponse("Not found.", 404)
        elif heartbeat := _HEARTBEAT.match(scope["path"]):
            answer = partial(self._heartbeat, heartbeat[1])
        else:
            answer = self.app
        await answer(scope, receive, send)

    async def _heartbeat(self, visitor: str, scope: Scope, receive: Receive, send: Send) -> None:
        self.visits.connect(visitor)
        try:
            await self.app(scope, receive, send)
        finally:
            self.visits.disconnect(visitor)


class Page(gr.Blocks):
    """Blocks that check the files of every event, and keep them as long as the visit lasts.

    Args:
        visits: Their folder is that of the uploads.
        options: Of `gr.Blocks`.
    """

    def __init__(self, visits: Visits, **options: Any) -> None:
        super().__init__(**options)
        self.visits = visits

    async def process_api(self, block_fn: Any, inputs: list[Any], *args: Any, **options: Any) -> dict[str, Any]:
        visitor, event = options.get("session_hash"), options.get("event_data")
        inputs = self.checked(inputs, visitor)
        if event is not None:
            event._data = self.checked(event._data, visitor)
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


def _name(host: str) -> str:
    """The name or address of "name:port", "[address]:port" and the like."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:  # a bracket left open
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

"""The door of the server: which names it may be called by, and which of Gradio's doors stay shut."""

import ipaddress
import re
import socket
from collections.abc import Iterable
from functools import partial
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from web_page.visits import Visits

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # of `--host`: the whole network
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

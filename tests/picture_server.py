"""A web server in this process that answers as pictures' servers do, well and badly."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from PIL import Image

from tests.web_server import QuietHandler, running


def png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Yields the server's address, without a path, and the list of the hosts that requests name.

    Args:
        files: Content by path. Other paths: /to/ADDRESS redirects there, /loop to itself, /slow sends a byte now and
            then, /endless never stops, and everything else is 404.
    """
    hosts: list[str] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            hosts.append(self.headers["Host"])
            path = unquote(self.path)
            if path in files:
                self._head(200, "Content-Length", str(len(files[path])))
                self.wfile.write(files[path])
            elif path == "/loop" or path.startswith("/to/"):
                self._head(302, "Location", "/loop" if path == "/loop" else path.removeprefix("/to/"))
            elif path in ("/slow", "/endless"):
                self._head(200, "Content-Type", "image/png")
                self._send_on(b"x" if path == "/slow" else bytes(2**16), pause=0.05 if path == "/slow" else 0)
            else:
                self._head(404, "Content-Type", "text/html")

        def _head(self, status: int, name: str, value: str) -> None:
            self.send_response(status)
            self.send_header(name, value)
            self.end_headers()

        def _send_on(self, data: bytes, pause: float) -> None:
            try:
                for _ in range(2000):
                    self.wfile.write(data)
                    time.sleep(pause)
            except OSError:  # the other side has left
                return

    with running(Handler) as port:
        yield f"http://127.0.0.1:{port}", hosts

"""Captions from a server that answers badly: tried again, then that picture fails alone, with one sentence."""

import contextlib
import json
import socket
import threading
import time

import pytest
from PIL import Image

from temu_vtoff.captioning import server as server_module
from temu_vtoff.captioning.server import ApiCaptioner, ServerUnreachableError
from temu_vtoff.errors import ArgumentError

PICTURE = Image.new("RGB", (8, 8))


def completion(content: object) -> bytes:
    return json.dumps({"choices": [{"message": {"content": content}}]}).encode()


def ok(body: bytes, length: int | None = None) -> bytes:
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


class Server:
    """Gives the bytes of `answers` one after the other, the last one for ever; None closes without an answer."""

    def __init__(self, *answers: bytes | None):
        self.answers, self.asked = list(answers), 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.api_base = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"
        self.lock = threading.Lock()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            head, body = data.split(b"\r\n\r\n", 1)
            length = int(next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))[15:])
            while len(body) < length:
                body += connection.recv(65536)
            with self.lock:
                self.asked += 1
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
            else:
                connection.sendall(answer)


@pytest.fixture
def serve():
    """Starts a server; the captioner that asks it, and the server."""
    servers = []

    def start(*answers: bytes | None, **options: object) -> tuple[ApiCaptioner, Server]:
        servers.append(Server(*answers))
        options = {"retries": 2, "pause": 0.0, "timeout": 10.0} | options
        return ApiCaptioner(servers[-1].api_base, "model", **options), servers[-1]

    yield start
    for one in servers:
        one.socket.close()


SOUND = ok(completion('"A shirt with long sleeves."'))
DAMAGED = {
    "cut": ok(completion("a shirt")[:20], 500),
    "cut in the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "garbage": b"hello, this is not http\r\n\r\n",
    "a list of parts": ok(completion([{"type": "text", "text": "a shirt"}])),
    "a number": ok(completion(5)),
    "a page": ok(b"<html>proxy</html>"),
    "no choices": ok(b"{}"),
    "an empty list of choices": ok(b'{"choices": []}'),
    "an error with status 200": ok(b'{"error": {"message": "busy"}}'),
    "a list": ok(b"[]"),
    "not UTF-8": ok(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'),
    "deep": ok(b"[" * 100_000),
    "empty": ok(b""),
    "reset": None,
    "closed": b"",
    "a long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    "endless": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * (2**20 + 1),
    "busy": b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nbusy",
}


@pytest.mark.parametrize("answer", DAMAGED.values(), ids=DAMAGED)
def test_damaged_answers_are_retried_and_fail_their_picture_alone(serve, answer):
    captioner, server = serve(answer)
    (error,) = captioner([PICTURE], ["dresses"])
    assert type(error) is ValueError and server.asked == 3
    said = str(error)
    assert said.startswith(f"{captioner.api_base}/chat/completions ") and "\n" not in said and len(said) < 500
    captioner, server = serve(answer, SOUND)
    assert captioner([PICTURE], ["dresses"]) == ["a shirt with long sleeves"] and server.asked == 2


def test_the_other_pictures_of_the_batch_get_their_captions(serve):
    captioner, _ = serve(DAMAGED["cut"], SOUND, retries=0, concurrency=1)
    error, caption = captioner([PICTURE] * 2, ["dresses"] * 2)
    assert isinstance(error, ValueError) and caption == "a shirt with long sleeves"


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(serve, code):
    _, elsewhere = serve(SOUND)
    captioner, _ = serve(f"HTTP/1.1 {code} Moved\r\nLocation: {elsewhere.api_base}\r\n\r\n".encode())
    with pytest.raises(ServerUnreachableError, match=f"redirects to {elsewhere.api_base}") as raised:
        captioner([PICTURE], ["dresses"])
    assert raised.value.argument == "api_base" and elsewhere.asked == 0


@pytest.mark.parametrize("code", [401, 403, 404])
def test_without_access_nothing_is_retried(serve, code):
    captioner, server = serve(f"HTTP/1.1 {code} No\r\nContent-Length: 2\r\n\r\nno".encode())
    with pytest.raises(ServerUnreachableError, match=rf"answered {code}: no; check .*OPENAI_API_KEY") as raised:
        captioner([PICTURE], ["dresses"])
    assert server.asked == 1 and "(check --api_base)" in raised.value.phrase(lambda name: f"--{name}")


def test_a_server_that_says_nothing_is_given_up(serve, monkeypatch):
    captioner, _ = serve(SOUND, timeout=0.3, retries=1)
    monkeypatch.setattr(Server, "_answer", lambda self, connection: time.sleep(1))
    with pytest.raises(ServerUnreachableError, match=r"can't be reached|did not answer within"):
        captioner([PICTURE], ["dresses"])


def test_a_server_that_drips_is_given_up(serve, monkeypatch):
    def drip(self: Server, connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        with contextlib.suppress(OSError):  # until the client has enough
            for _ in range(100):
                time.sleep(0.05)
                connection.sendall(b" ")

    monkeypatch.setattr(Server, "_answer", drip)
    captioner, _ = serve(SOUND, timeout=0.3, retries=0)
    started = time.monotonic()
    with pytest.raises(ServerUnreachableError, match=r"did not answer within 0\.3 seconds"):
        captioner([PICTURE], ["dresses"])
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("content", "caption"),
    [
        (None, ""),
        ("<think>" + "hmm " * 3000 + "</think>\na shirt with\nlong \x07sleeves \ud83d\udc57.", None),
        ("a shirt \ud83d", "a shirt"),
    ],
)
def test_thoughts_and_odd_characters_are_left_out(serve, content, caption):
    captioner, _ = serve(ok(completion(content)))
    expected = "a shirt with long sleeves \U0001f457" if caption is None else caption
    assert captioner([PICTURE], ["dresses"]) == [expected]


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"api_base": "localhost:8000/v1"}, "api_base"),
        ({"api_base": "file:///etc/passwd"}, "api_base"),
        ({"api_base": "http://"}, "api_base"),
        ({"api_base": "http://host:port/v1"}, "api_base"),
        ({"api_base": "http://host/v1 \n"}, "api_base"),
        ({"concurrency": 0}, "concurrency"),
        ({"retries": -1}, "retries"),
        ({"timeout": 0}, "timeout"),
        ({"pause": float("nan")}, "pause"),
    ],
)
def test_wrong_settings_name_their_argument(options, argument):
    with pytest.raises(ArgumentError) as raised:
        ApiCaptioner(**{"api_base": "http://localhost:8000/v1", "model": "m"} | options)
    assert raised.value.argument == argument


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"seed": [-1]}, "seed"),
        ({"seed": [2**63]}, "seed"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"source": "shop"}, "source"),
    ],
)
def test_what_is_asked_is_checked_before_the_server_is(serve, options, argument):
    captioner, server = serve(SOUND)
    with pytest.raises(ArgumentError) as raised:
        captioner([PICTURE], ["dresses"], **options)
    assert raised.value.argument == argument and server.asked == 0


def test_a_key_that_no_header_can_carry_is_said(serve, monkeypatch):
    monkeypatch.setenv(server_module.KEY_VARIABLE, "sch\N{LATIN SMALL LETTER U WITH DIAERESIS}ssel\n1")
    captioner, _ = serve(SOUND)
    with pytest.raises(ServerUnreachableError, match="OPENAI_API_KEY holds characters"):
        captioner([PICTURE], ["dresses"])

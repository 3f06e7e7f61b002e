"""Captions from a server: the same prompts, sent to any OpenAI-compatible chat API (vLLM, SGLang, ...)."""

import base64
import io
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from PIL import Image

from temu_vtoff.captioning.prompt import (
    MAX_NEW_TOKENS,
    TEMPERATURE,
    Source,
    caption_prompt,
    check_sampling,
    clean_caption,
)
from temu_vtoff.errors import ArgumentError, CommonCauseError, check_least

KEY_VARIABLE = "OPENAI_API_KEY"  # environment variable; its key is sent to the server
LONGEST_PAUSE = 60.0  # seconds between two tries
LARGEST_ANSWER = 2**20  # bytes


class ServerUnreachableError(CommonCauseError):
    """The server can't be reached or refuses access, so that no picture can be captioned."""


class _TemporaryError(Exception):
    """A failure that may pass.

    Attributes:
        error: The error to raise after the last try.
        pause: Seconds to wait before the next try, if the server asks for it.
    """

    def __init__(self, error: ValueError, pause: float | None = None):
        super().__init__(error)
        self.error, self.pause = error, pause


class _NoRedirects(HTTPRedirectHandler):
    """Redirects are errors: following one would turn the POST into a GET and send the key to another server."""

    def redirect_request(self, *args: Any) -> None:
        return None


_OPENER = build_opener(_NoRedirects)


@dataclass(frozen=True)
class ApiCaptioner:
    """Captions from a server; called like `captioning.captioner.Captioner`.

    Attributes:
        api_base: The address up to the version: http://localhost:8000/v1.
        model: The model's name on the server.
        concurrency: Number of simultaneous requests.
        retries: Further tries after a failure that may pass: no connection, a damaged answer, too many requests (429),
            a server error (5xx).
        pause: Seconds before the second try, doubled for each further one. The server's Retry-After takes precedence.
        timeout: Seconds to wait for one answer.

    Raises:
        ArgumentError: The address is not a URL, or a number is out of range.
    """

    api_base: str
    model: str
    concurrency: int = 8
    retries: int = 5
    pause: float = 1.0
    timeout: float = 300.0

    def __post_init__(self) -> None:
        if not _is_url(self.api_base):
            raise ArgumentError(
                f"{{api_base}} is {self.api_base!r}; give an address such as http://localhost:8000/v1.", "api_base"
            )
        for name, smallest in (("concurrency", 1), ("retries", 0), ("pause", 0), ("timeout", 0.001)):
            check_least(name, getattr(self, name), smallest)

    def __call__(
        self,
        images: Sequence[Image.Image],
        categories: Sequence[str],
        source: Source = "person",
        temperature: float = TEMPERATURE,
        max_new_tokens: int = MAX_NEW_TOKENS,
        seed: Sequence[int] | None = None,
    ) -> list[str | Exception]:
        """One line for each picture, or its error. The arguments are those of `captioning.captioner.Captioner`.

        Raises:
            ServerUnreachableError: No connection, or no access, after all tries.
            ArgumentError: Unknown category or source, or a setting out of range.
        """
        seeds = [None] * len(images) if seed is None else list(seed)
        check_sampling(temperature, max_new_tokens, seeds)
        prompts = [caption_prompt(category, source) for category in categories]

        def ask(image: Image.Image, prompt: str, seed: int | None) -> str | Exception:
            question = {
                "model": self.model,
                "messages": [{"role": "user", "content": picture_and_prompt(image, prompt)}],
                "temperature": temperature,
                "max_tokens": max_new_tokens,
                **({} if seed is None else {"seed": seed % 2**31}),  # the largest seed that servers accept
            }
            try:
                return clean_caption(self._ask(question))
            except ServerUnreachableError:
                raise
            except ValueError as error:
                return error

        if not len(images) == len(prompts) == len(seeds):
            raise ValueError(f"{len(images)} pictures came with {len(prompts)} categories and {len(seeds)} seeds.")
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(ask, images, prompts, seeds))

    def _ask(self, question: dict[str, Any]) -> str:
        """The answer, after at most `retries` further tries."""
        pause = self.pause
        for remaining in range(self.retries, -1, -1):
            try:
                return self._try(question)
            except _TemporaryError as failure:
                if not remaining:
                    raise failure.error from failure.__cause__
                time.sleep(min(pause if failure.pause is None else failure.pause, LONGEST_PAUSE))
                pause *= 2

    def _try(self, question: dict[str, Any]) -> str:
        url = f"{self.api_base.rstrip('/')}/chat/completions"
        request = Request(url, json.dumps(question).encode(), _headers())
        try:
            with _OPENER.open(request, timeout=self.timeout) as response:
                return _answer(_body(response, time.monotonic() + self.timeout))
        except HTTPError as error:
            raise self._refusal(error, url) from error
        except TimeoutError as error:
            raise _TemporaryError(_unreachable(f"{url} did not answer within {self.timeout:g} seconds")) from error
        except URLError as error:  # no connection; or one that the server closed while the picture was sent
            if isinstance(error.reason, ConnectionError) and not isinstance(error.reason, ConnectionRefusedError):
                raise _TemporaryError(ValueError(f"{url} closed the connection: {error.reason}.")) from error
            raise _TemporaryError(_unreachable(f"{url} can't be reached: {error.reason}")) from error
        except (HTTPException, OSError, ValueError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise _TemporaryError(ValueError(f"{url} gave a damaged answer ({reason}).")) from error

    def _refusal(self, error: HTTPError, url: str) -> Exception:
        """The error for an HTTP status: one that ends the run, fails this picture only, or may pass."""
        try:
            text = " ".join(error.read(2000).decode("utf-8", "replace").split())
        except (HTTPException, OSError):
            text = ""
        error.close()
        sentence = f"{url} answered {error.code}{f': {text}' if text else ''}"
        if 300 <= error.code < 400:
            return _unreachable(f"{url} redirects to {error.headers.get('Location', 'another address')}")
        if error.code in (401, 403, 404):
            return _unreachable(f"{sentence.rstrip('.')}; check the model's name and {KEY_VARIABLE} too")
        if error.code == 429 or error.code >= 500:
            return _TemporaryError(ValueError(f"{sentence}."), _seconds(error.headers.get("Retry-After")))
        return ValueError(f"{sentence}.")


def _unreachable(problem: str) -> ServerUnreachableError:
    return ServerUnreachableError(f"{problem} (check {{api_base}}).", "api_base")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port  # raises ValueError if it is not a number
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and " " not in text
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0


def _headers() -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ServerUnreachableError(f"{KEY_VARIABLE} holds characters that no HTTP header can carry.")
    return headers | ({"Authorization": f"Bearer {key}"} if key else {})


def picture_and_prompt(image: Image.Image, prompt: str) -> list[dict[str, Any]]:
    """The content of a message of the chat API."""
    data = io.BytesIO()
    image.convert("RGB").save(data, "JPEG", quality=95, subsampling=0)
    url = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
    return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": prompt}]


def _body(response: HTTPResponse, deadline: float) -> bytes:
    """The body of an answer.

    Raises:
        ValueError: It is too large.
        TimeoutError: It is not complete at the deadline.
    """
    body = b""
    while part := response.read1(2**16):
        body += part
        if len(body) > LARGEST_ANSWER:
            raise ValueError(f"more than {LARGEST_ANSWER} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError
    return body


def _answer(body: bytes) -> str:
    """The text of a chat completion; empty if the model answered nothing.

    Raises:
        ValueError: The body is not a chat completion.
    """
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise ValueError(f"no chat completion: {body[:200]!r}") from error
    if not isinstance(content, str | None):
        raise ValueError(f"the content is {content!r:.200}, not a text")
    return content or ""


def _seconds(retry_after: str | None) -> float | None:
    try:
        seconds = float(retry_after)
    except (TypeError, ValueError):
        return None
    return seconds if seconds >= 0 else None

"""Captions from a server: the prompts of `captioning`, sent to any OpenAI-compatible chat API (vLLM, SGLang, …)."""

from __future__ import annotations

import base64
import io
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from PIL import Image

from temu_vtoff.captioning.prompt import Source, caption_prompt, clean_caption

KEY_VARIABLE = "OPENAI_API_KEY"  # sent when set
LONGEST_PAUSE = 60.0  # seconds between two tries


class ServerUnreachableError(ValueError):
    """Nobody answers at the address given, or nobody lets us in: no other picture would fare better."""


@dataclass(frozen=True)
class ApiCaptioner:
    """Asks a server; called like `captioning.Captioner`.

    Attributes:
        api_base: The address up to the version: http://localhost:8000/v1.
        model: As the server calls it.
        concurrency: Questions under way at once, at most.
        retries: Further tries after a failure that may pass: no connection, too busy (429), a server's error (5xx).
        pause: Seconds before the second try; doubled each time, and overruled by the server's Retry-After.
        timeout: Seconds to wait for one answer.
    """

    api_base: str
    model: str
    concurrency: int = 8
    retries: int = 5
    pause: float = 1.0
    timeout: float = 300.0

    def __call__(
        self,
        images: Sequence[Image.Image],
        categories: Sequence[str],
        source: Source = "person",
        temperature: float = 0.2,
        max_new_tokens: int = 75,
        seed: Sequence[int] | None = None,
    ) -> list[str | Exception]:
        """For each picture one clean line, or what the server had against it.

        Raises:
            ServerUnreachableError: No connection, or no right to ask, after all tries.
        """
        seeds = [None] * len(images) if seed is None else seed

        def ask(image: Image.Image, category: str, seed: int | None) -> str | Exception:
            question = {
                "model": self.model,
                "messages": [{"role": "user", "content": _content(image, caption_prompt(category, source))}],
                "temperature": temperature,
                "max_tokens": max_new_tokens,
                **({} if seed is None else {"seed": seed % 2**31}),  # servers take no more
            }
            try:
                return clean_caption(self._post(question))
            except ServerUnreachableError:
                raise
            except ValueError as error:
                return error

        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(ask, images, categories, seeds))

    def _post(self, question: dict[str, Any]) -> str:
        url = f"{self.api_base.rstrip('/')}/chat/completions"
        headers = {"Content-Type": "application/json"}
        if KEY_VARIABLE in os.environ:
            headers["Authorization"] = f"Bearer {os.environ[KEY_VARIABLE]}"
        request = Request(url, json.dumps(question).encode(), headers)
        pause = self.pause
        for remaining in range(self.retries, -1, -1):
            wait = pause
            try:
                with urlopen(request, timeout=self.timeout) as response:
                    return _answer(response.read())
            except HTTPError as error:
                text = " ".join(error.read(2000).decode("utf-8", "replace").split())
                trouble = ValueError(f"{url} answered {error.code}: {text}")
                if error.code in (401, 403, 404):
                    hint = f"check --api_base, the model's name and {KEY_VARIABLE}"
                    raise ServerUnreachableError(f"{trouble}; {hint}.") from error
                if error.code != 429 and error.code < 500:
                    raise trouble from error
                wait = _seconds(error.headers.get("Retry-After"), pause)
            except (URLError, OSError) as error:  # a timeout among them
                trouble = ServerUnreachableError(f"{url} can't be reached: {getattr(error, 'reason', error)}.")
            if remaining:
                time.sleep(min(wait, LONGEST_PAUSE))
                pause *= 2
        raise trouble


def _content(image: Image.Image, prompt: str) -> list[dict[str, Any]]:
    data = io.BytesIO()
    image.convert("RGB").save(data, "JPEG", quality=95, subsampling=0)
    url = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
    return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": prompt}]


def _answer(body: bytes) -> str:
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"the server's answer is none of a chat: {body[:200]!r}") from error
    return content or ""


def _seconds(retry_after: str | None, otherwise: float) -> float:
    try:
        return max(0.0, float(retry_after))
    except (TypeError, ValueError):
        return otherwise

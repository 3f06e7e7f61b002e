"""Captions of a garment's shape: the prompt, Qwen2.5-VL, and servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL import Image

    from temu_vtoff.captioning.prompt import Source


class CaptionMaker(Protocol):
    """Interface of `captioner.Captioner` and `server.ApiCaptioner`: a caption or an error for each picture."""

    def __call__(
        self,
        images: Sequence[Image.Image],
        categories: Sequence[str],
        source: Source,
        temperature: float,
        max_new_tokens: int,
        seed: Sequence[int],
    ) -> Sequence[str | Exception]: ...

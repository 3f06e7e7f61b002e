"""One vector per picture by a vision transformer of transformers: what CLIP-I and DINO similarity compare."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Embedder:
    """A model, its own picture processor, and which of its outputs is the embedding."""

    model: torch.nn.Module
    processor: Callable[..., Any]
    embedding: Callable[[Any], torch.Tensor]

    @torch.no_grad()
    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, D)."""
        inputs = self.processor(list(pictures.cpu()), do_rescale=False, return_tensors="pt")
        return self.embedding(self.model(inputs["pixel_values"].to(self.model.device)))

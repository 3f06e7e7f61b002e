"""Picture embeddings by a vision model of transformers, which CLIP-I and DINO similarity compare."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F
from transformers import AutoImageProcessor

from temu_vtoff.hub.errors import explain_loading


@dataclass(frozen=True)
class Embedder:
    """A model, its image processor, and the function that takes the embedding from its output."""

    model: torch.nn.Module
    processor: Callable[..., Any]
    embedding: Callable[[Any], torch.Tensor]

    @classmethod
    def load(
        cls,
        model_class: type,
        name_or_path: str,
        *,
        embedding: Callable[[Any], torch.Tensor],
        device: torch.device | str,
        what: str,
        argument: str,
    ) -> "Embedder":
        """
        Args:
            model_class: Model class of transformers.
            what: Name of the model in messages.
            argument: Name of the argument that chooses the model, for messages.

        Raises:
            CheckpointError: It can't be loaded.
        """
        with explain_loading(name_or_path, what, argument):
            model = model_class.from_pretrained(name_or_path)
            processor = AutoImageProcessor.from_pretrained(name_or_path)
        return cls(model.eval().to(device), processor, embedding)

    @torch.no_grad()
    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, D)."""
        inputs = self.processor(list(pictures.cpu()), do_rescale=False, return_tensors="pt")
        return self.embedding(self.model(inputs["pixel_values"].to(self.model.device)))

    def similarity(self, predictions: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [0, 1] twice -> (B,), the cosine of their vectors: 1 for equal pictures."""
        return F.cosine_similarity(self(predictions), self(truths))

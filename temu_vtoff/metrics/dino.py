"""DINO similarity: cosine similarity of the class token of a self-supervised vision transformer."""

import torch
from torch import nn

from temu_vtoff.checkpoints import explain_loading
from temu_vtoff.metrics import DINO_MODEL
from temu_vtoff.metrics.embedding import Embedder


def load_dino(name_or_path: str = DINO_MODEL, device: torch.device | str = "cpu") -> Embedder:
    """A DINO or DINOv2 by hub id or folder.

    Raises:
        CheckpointError: It can't be had.
    """
    from transformers import AutoImageProcessor, AutoModel

    with explain_loading(name_or_path, "DINO", flag="--dino_model"):
        model = AutoModel.from_pretrained(name_or_path)
        processor = AutoImageProcessor.from_pretrained(name_or_path)
    return Embedder(model.eval().to(device), processor, lambda outputs: outputs.last_hidden_state[:, 0])


def dino(predictions: torch.Tensor, truths: torch.Tensor, model: Embedder) -> torch.Tensor:
    """(B, 3, H, W) in [0, 1] twice -> (B,), 1 for equal pictures."""
    return nn.functional.cosine_similarity(model(predictions), model(truths))

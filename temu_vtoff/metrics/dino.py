"""DINO similarity: cosine similarity of the class token of a self-supervised vision transformer."""

import torch
from transformers import AutoModel

from temu_vtoff.metrics import DINO_MODEL
from temu_vtoff.metrics.embedding import Embedder


def load_dino(name_or_path: str = DINO_MODEL, device: torch.device | str = "cpu") -> Embedder:
    """A DINO or DINOv2 by hub id or folder; its `similarity` is the metric.

    Raises:
        CheckpointError: It can't be loaded.
    """
    return Embedder.load(
        AutoModel,
        name_or_path,
        embedding=lambda out: out.last_hidden_state[:, 0],
        device=device,
        what="DINO",
        argument="dino_model",
    )

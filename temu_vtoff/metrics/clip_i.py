"""CLIP-I: cosine similarity of CLIP image embeddings."""

import torch
from transformers import CLIPVisionModelWithProjection

from temu_vtoff.metrics import CLIP_MODEL
from temu_vtoff.metrics.embedding import Embedder


def load_clip(name_or_path: str = CLIP_MODEL, device: torch.device | str = "cpu") -> Embedder:
    """A CLIP vision encoder by hub id or folder; its `similarity` is the metric.

    Raises:
        CheckpointError: It can't be loaded.
    """
    return Embedder.load(
        CLIPVisionModelWithProjection,
        name_or_path,
        embedding=lambda out: out.image_embeds,
        device=device,
        what="CLIP",
        argument="clip_model",
    )

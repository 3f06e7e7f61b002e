"""CLIP-I: cosine similarity of CLIP image embeddings."""

import torch

from temu_vtoff.metrics import CLIP_MODEL
from temu_vtoff.metrics.embedding import Embedder


def load_clip(name_or_path: str = CLIP_MODEL, device: torch.device | str = "cpu") -> Embedder:
    """A CLIP vision encoder by hub id or folder; its `similarity` is the metric.

    Raises:
        CheckpointError: It can't be loaded.
    """
    from transformers import CLIPVisionModelWithProjection as Model

    return Embedder.load(Model, name_or_path, lambda out: out.image_embeds, device, "CLIP", "clip_model")

"""CLIP-I: cosine similarity of CLIP image embeddings."""

import torch
from torch import nn

from temu_vtoff.checkpoints import explain_loading
from temu_vtoff.metrics import CLIP_MODEL
from temu_vtoff.metrics.embedding import Embedder


def load_clip(name_or_path: str = CLIP_MODEL, device: torch.device | str = "cpu") -> Embedder:
    """A CLIP vision encoder by hub id or folder.

    Raises:
        CheckpointError: It can't be had.
    """
    from transformers import AutoImageProcessor, CLIPVisionModelWithProjection

    with explain_loading(name_or_path, "CLIP", flag="--clip_model"):
        model = CLIPVisionModelWithProjection.from_pretrained(name_or_path)
        processor = AutoImageProcessor.from_pretrained(name_or_path)
    return Embedder(model.eval().to(device), processor, lambda outputs: outputs.image_embeds)


def clip_i(predictions: torch.Tensor, truths: torch.Tensor, clip: Embedder) -> torch.Tensor:
    """(B, 3, H, W) in [0, 1] twice -> (B,), 1 for equal pictures."""
    return nn.functional.cosine_similarity(clip(predictions), clip(truths))

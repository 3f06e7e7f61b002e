"""A whole tiny pipeline with random weights, text encoders included, for pictures of 48x64 pixels."""

from pathlib import Path

import torch

from temu_vtoff import FeatureExtractor, TryOffPipeline, TryOffTransformer
from tests.tiny_training import save_tiny_base

CHANNELS = 4  # of the tiny base's latents


def save_tiny_pipeline(folder: Path, seed: int = 0) -> Path:
    """Writes what `TryOffPipeline.from_pretrained(folder)` opens; some 100,000 parameters."""
    save_tiny_base(folder, seed)
    torch.manual_seed(seed)
    shape = {
        "sample_size": 8,
        "patch_size": 2,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "pooled_projection_dim": 16,
        "pos_embed_max_size": 8,
    }
    text = {"joint_attention_dim": 32, "caption_projection_dim": 16}
    generator = TryOffTransformer(in_channels=CHANNELS, out_channels=CHANNELS, **text, **shape)
    generator.save_pretrained(folder / "transformer")
    FeatureExtractor(in_channels=2 * CHANNELS + 1, **shape).save_pretrained(folder / "transformer_vton")
    TryOffPipeline.from_pretrained(folder, rescale_clip_input_twice=False).save_pretrained(folder)
    return folder

"""A trained transformer with smaller patches: more tokens, each for a smaller part of the picture.

Letters: C latent channels, D width, p side of a token's patch, M side of the position table in tokens.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from diffusers.models.embeddings import get_2d_sincos_pos_embed_from_grid
from torch.nn import functional as F

from temu_vtoff.errors import ArgumentError
from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.generator import TryOffTransformer

Transformer = TypeVar("Transformer", FeatureExtractor, TryOffTransformer)


def with_smaller_patches(transformer: Transformer, patch_size: int) -> Transformer:
    """The transformer with smaller patches, to continue training from; its blocks keep their weights.

    A new token starts by doing what an old one does on a picture enlarged by the ratio of the patch sizes: the patch
    embedding and the output projection are averaged down. Its position lies between the old positions.

    Args:
        patch_size: A divisor of the transformer's own.

    Raises:
        ArgumentError: It is not a divisor.
    """
    own = transformer.config.patch_size
    if own % patch_size:
        raise ArgumentError(f"{{patch_size}} is {patch_size}; give a divisor of this model's {own}.", "patch_size")
    if patch_size == own:
        return transformer
    factor, side = own // patch_size, transformer.config.sample_size // patch_size
    sides = {"patch_size": patch_size, "pos_embed_max_size": max(transformer.config.pos_embed_max_size, side)}
    smaller = type(transformer).from_config({**transformer.config, **sides})

    weights = transformer.state_dict()
    weights["pos_embed.pos_embed"] = position_table(transformer, smaller)
    seen = weights["pos_embed.proj.weight"]  # (D, C, p, p)
    weights["pos_embed.proj.weight"] = F.avg_pool2d(seen, factor) * factor**2
    for name in ("proj_out.weight", "proj_out.bias"):
        if name in weights:  # absent from a FeatureExtractor
            output = weights[name].unflatten(0, (own, own, -1)).movedim((0, 1), (-2, -1))  # (C, D, p, p) or (C, p, p)
            weights[name] = (
                F.avg_pool2d(output, factor).movedim((-2, -1), (0, 1)).flatten(0, 2)
            )  # (p p C, D) or (p p C)
    smaller.load_state_dict(weights)
    return smaller


def position_table(transformer: Transformer, smaller: Transformer) -> torch.Tensor:
    """(1, M M, D) for the smaller patches, in the coordinates of the old table; their centres coincide."""
    old, new, table = transformer.config, smaller.config, transformer.pos_embed.pos_embed
    unit = (old.sample_size // old.patch_size) / old.pos_embed_max_size  # between positions of the table, in SD3
    centre = (old.pos_embed_max_size - 1) / 2
    steps = torch.arange(new.pos_embed_max_size, dtype=torch.float64) - (new.pos_embed_max_size - 1) / 2
    positions = unit * (centre + steps * new.patch_size / old.patch_size)  # (M,)
    grid = torch.stack(torch.meshgrid(positions, positions, indexing="xy"))  # columns, rows: (2, M, M)
    return get_2d_sincos_pos_embed_from_grid(table.shape[-1], grid[:, None], output_type="pt")[None].to(table)

"""The feature extractor: an SD3 transformer without text that reads the person once, at timestep 0, and hands the
keys and values of its attentions to the generator (arXiv 2505.21062, section 3.1).

Letters: B batch, N image tokens, D width, h w latent size, P width of the pooled image embedding, L blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import AdaLayerNormZero
from diffusers.models.transformers.transformer_sd3 import SD3SingleTransformerBlock
from torch import nn

from temu_vtoff.hub.strict import StrictLoadingMixin
from temu_vtoff.models.attention import ReferenceAttnProcessor
from temu_vtoff.models.image_stream import CONTEXT_WEIGHTS, ImageStreamMixin


@dataclass(frozen=True)
class ReferenceFeatures:
    """What the generator's blocks attend to: for each of the L blocks the person's keys and values, (B, N, D)."""

    keys: Sequence[torch.Tensor]
    values: Sequence[torch.Tensor]

    def __post_init__(self) -> None:
        if len(self.keys) != len(self.values):
            raise ValueError(f"A reference needs as many keys as values, got {len(self.keys)} and {len(self.values)}.")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def batch_size(self) -> int:
        """B, where `len` is L."""
        return len(self.keys[0])

    def to(self, *args, **kwargs) -> ReferenceFeatures:
        """Moved or cast as `torch.Tensor.to` does."""
        return ReferenceFeatures(
            [k.to(*args, **kwargs) for k in self.keys], [v.to(*args, **kwargs) for v in self.values]
        )

    def __getitem__(self, items: slice | torch.Tensor) -> ReferenceFeatures:
        """The features of some items of the batch."""
        return ReferenceFeatures([k[items] for k in self.keys], [v[items] for v in self.values])


class ReferenceBlock(SD3SingleTransformerBlock):
    """A block of the image stream alone, which also returns its attention's keys and values."""

    def __init__(self, dim: int, num_attention_heads: int, attention_head_dim: int, processor: ReferenceAttnProcessor):
        super().__init__(dim, num_attention_heads, attention_head_dim)
        self.attn.set_processor(processor)

    def forward(
        self, hidden_states: torch.Tensor, temb: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, N, D), (B, D) -> the stream, keys, values, each (B, N, D)."""
        normed, gate_msa, shift_mlp, scale_mlp, gate_mlp = self.norm1(hidden_states, emb=temb)  # (B, N, D), 4 x (B, D)
        attended, key, value = self.attn(hidden_states=normed)
        hidden_states = hidden_states + gate_msa[:, None] * attended
        normed = self.norm2(hidden_states) * (1 + scale_mlp[:, None]) + shift_mlp[:, None]
        return hidden_states + gate_mlp[:, None] * self.ff(normed), key, value


class LastReferenceBlock(nn.Module):
    """The last block; only its keys and values are used."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm1 = AdaLayerNormZero(dim)
        self.attn = nn.ModuleDict({"to_k": nn.Linear(dim, dim), "to_v": nn.Linear(dim, dim)})

    def forward(self, hidden_states: torch.Tensor, temb: torch.Tensor) -> tuple[None, torch.Tensor, torch.Tensor]:
        """(B, N, D), (B, D) -> no stream, keys, values, each (B, N, D)."""
        normed = self.norm1(hidden_states, emb=temb)[0]
        return None, self.attn["to_k"](normed), self.attn["to_v"](normed)


class FeatureExtractor(ImageStreamMixin, StrictLoadingMixin, ModelMixin, AttentionMixin, ConfigMixin, PeftAdapterMixin):
    """The feature extractor. Of the published `transformer_vton`, it loads only the weights that its output depends on.

    Args:
        sample_size: Side of the latents that the position embedding is centred for.
        patch_size: Side of a token's patch in the latents.
        in_channels: For try-off 33: person latents (16), mask (1), latents of the greyed photo (16). For try-on 16: the
            garment's latents.
        num_layers: Blocks; the generator has as many.
        attention_head_dim: Width of a head.
        num_attention_heads: Heads; D = heads x head width.
        pooled_projection_dim: Width of the pooled image embedding.
        pos_embed_max_size: Side, in tokens, of the position table.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["ReferenceBlock", "LastReferenceBlock"]
    _repeated_blocks = ["ReferenceBlock"]
    _skip_layerwise_casting_patterns = ["pos_embed", "norm"]

    @register_to_config
    def __init__(
        self,
        sample_size: int = 128,
        patch_size: int = 2,
        in_channels: int = 33,
        num_layers: int = 24,
        attention_head_dim: int = 64,
        num_attention_heads: int = 24,
        pooled_projection_dim: int = 2048,
        pos_embed_max_size: int = 192,
    ) -> None:
        super().__init__()
        dim = self._add_embeddings()
        processor = ReferenceAttnProcessor()
        self.transformer_blocks = nn.ModuleList(
            [
                *(
                    ReferenceBlock(dim, num_attention_heads, attention_head_dim, processor)
                    for _ in range(num_layers - 1)
                ),
                LastReferenceBlock(dim),
            ]
        )
        self.gradient_checkpointing = False

    @property
    def unneeded_checkpoint_keys(self) -> tuple[str, ...]:
        """Patterns of the published checkpoint's weights that nothing here needs.

        They are the context stream, which has no input, the last block's output and the diffusion head.
        """
        last = self.config.num_layers - 1
        return (
            *CONTEXT_WEIGHTS,
            rf"transformer_blocks\.{last}\.(attn\.to_q|attn\.to_out|ff)\.",
            r"(norm_out|proj_out)\.",
        )

    def forward(
        self,
        hidden_states: torch.Tensor,
        pooled_projections: torch.Tensor,
        timestep: torch.Tensor | None = None,
    ) -> ReferenceFeatures:
        """
        Args:
            hidden_states: (B, 33, h, w): person latents, mask (1 = garment) at latent size, greyed photo's latents.
            pooled_projections: (B, P), the photo's image embeddings, or zeros for guidance's negative branch.
            timestep: (B,), 0 when absent, as published. In [0, 1000].
        """
        if timestep is None:
            timestep = hidden_states.new_zeros(len(hidden_states))
        temb = self.time_text_embed(timestep, pooled_projections)  # (B, D)
        stream = self.pos_embed(hidden_states).contiguous()  # (B, N, D), N = h w / patch^2

        keys, values = [], []
        for block in self.transformer_blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                stream, key, value = self._gradient_checkpointing_func(block, stream, temb)
            else:
                stream, key, value = block(stream, temb)
            keys.append(key)
            values.append(value)
        return ReferenceFeatures(keys, values)

"""Stage 1's network: the feature extractor with the rest of its last block and a diffusion head, which only training
needs. Saved, it is a `transformer_vton` that `FeatureExtractor.from_pretrained` loads, leaving the head on disk.

Letters: B items, N tokens, D width, C latent channels, h w latent size, p patch size.
"""

from functools import wraps

import torch
from diffusers.models.normalization import AdaLayerNormContinuous
from torch import nn

from temu_vtoff.models.attention import ReferenceAttnProcessor
from temu_vtoff.models.feature_extractor import FeatureExtractor, ReferenceBlock
from temu_vtoff.models.modulations import unpatchify


class PersonDenoiser(FeatureExtractor):
    """The extractor as a diffusion model; arguments and configuration are the extractor's."""

    @wraps(FeatureExtractor.__init__)  # diffusers reads the configuration's names from the signature
    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        heads, head_dim = self.config.num_attention_heads, self.config.attention_head_dim
        dim, latent_channels = heads * head_dim, (self.config.in_channels - 1) // 2  # beside the mask
        self.transformer_blocks[-1] = ReferenceBlock(dim, heads, head_dim, ReferenceAttnProcessor())
        self.norm_out = AdaLayerNormContinuous(dim, dim, elementwise_affine=False, eps=1e-6)
        self.proj_out = nn.Linear(dim, self.config.patch_size**2 * latent_channels)

    @property
    def unneeded_checkpoint_keys(self) -> tuple[str, ...]:
        """The weights of SD3's context stream, which has no input here."""
        return (r"context_embedder\.", r"transformer_blocks\.\d+\.(norm1_context|ff_context|attn\.(to_add_out|add_))")

    def denoise(
        self, hidden_states: torch.Tensor, pooled_projections: torch.Tensor, timestep: torch.Tensor
    ) -> torch.Tensor:
        """The velocity of the person's latents, (B, C, h, w).

        Args:
            hidden_states: (B, 2 C + 1, h, w): noisy person latents, mask, the masked image's latents.
            pooled_projections: (B, P), the photo's image embeddings, or zeros.
            timestep: (B,), in [0, 1000].
        """
        height, width = hidden_states.shape[-2:]
        temb = self.time_text_embed(timestep, pooled_projections)  # (B, D)
        stream = self.pos_embed(hidden_states).contiguous()  # (B, N, D)
        for block in self.transformer_blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                stream, _, _ = self._gradient_checkpointing_func(block, stream, temb)
            else:
                stream, _, _ = block(stream, temb)
        patches = self.proj_out(self.norm_out(stream, temb))  # (B, N, p p C)
        return unpatchify(patches, height, width, self.config.patch_size)

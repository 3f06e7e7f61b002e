"""The try-on denoiser (FitDiT, arXiv 2411.10499): the image stream of an SD3 transformer, whose attentions also read
the garment's reference features, K = [image, reference], V = [image, reference]. There is no text.

Letters: B batch, N image tokens, D width, h w latent size, P pooled width, L blocks, S steps.
"""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import AdaLayerNormContinuous
from diffusers.models.transformers.transformer_sd3 import SD3SingleTransformerBlock
from torch import nn

from temu_vtoff.hub.strict import StrictLoadingMixin
from temu_vtoff.models.attention import HybridAttentionMixin, HybridAttnProcessor
from temu_vtoff.models.feature_extractor import ReferenceFeatures
from temu_vtoff.models.image_stream import CONTEXT_WEIGHTS, ImageStreamMixin
from temu_vtoff.models.modulations import BeforehandMixin, Modulations, modulate, modulation


class TryOnBlock(SD3SingleTransformerBlock):
    """A block of the image stream that reads a reference, with AdaLN's modulations given instead of computed."""

    def forward(
        self,
        image: torch.Tensor,
        image_modulation: torch.Tensor,
        reference_key: torch.Tensor | None = None,
        reference_value: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        Args:
            image: (B, N, D).
            image_modulation: (B, 6, D), or (B, D) to compute it here.
            reference_key, reference_value: (B, R, D); both or neither.

        Returns:
            (B, N, D).
        """
        image_modulation = modulation(self.norm1, image_modulation)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = image_modulation[:, :, None].unbind(1)  # each (B, 1, D)
        attended, _ = self.attn(
            hidden_states=modulate(self.norm1.norm(image), shift, scale),
            reference_key=reference_key,
            reference_value=reference_value,
        )  # (B, N, D)
        image = image + gate * attended
        return image + mlp_gate * self.ff(modulate(self.norm2(image), mlp_shift, mlp_scale))


class TryOnTransformer(
    HybridAttentionMixin,
    BeforehandMixin,
    ImageStreamMixin,
    StrictLoadingMixin,
    ModelMixin,
    AttentionMixin,
    ConfigMixin,
    PeftAdapterMixin,
):
    """Loads FitDiT's `transformer_vton`, leaving on disk the context stream, which has no input.

    Args:
        sample_size: Side of the latents that the position embedding is centred for.
        patch_size: Side of a token's patch in the latents.
        in_channels: 33: noisy latents (16), latents of the masked person (16), mask (1).
        num_layers: Blocks; the garment extractor has as many.
        attention_head_dim: Width of a head.
        num_attention_heads: Heads; D = heads x head width.
        pooled_projection_dim: Width of the garment's pooled embedding.
        out_channels: 16.
        pos_embed_max_size: Side, in tokens, of the position table.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["TryOnBlock"]
    _repeated_blocks = ["TryOnBlock"]
    _skip_layerwise_casting_patterns = ["pos_embed", "norm"]
    unneeded_checkpoint_keys = CONTEXT_WEIGHTS

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
        out_channels: int = 16,
        pos_embed_max_size: int = 192,
    ) -> None:
        super().__init__()
        dim = self._add_embeddings()
        self.transformer_blocks = nn.ModuleList(
            TryOnBlock(dim, num_attention_heads, attention_head_dim) for _ in range(num_layers)
        )
        self.norm_out = AdaLayerNormContinuous(dim, dim, elementwise_affine=False, eps=1e-6)
        self.proj_out = nn.Linear(dim, patch_size * patch_size * out_channels)
        self.set_attn_processor(HybridAttnProcessor())
        self.gradient_checkpointing = False

    def forward(
        self,
        hidden_states: torch.Tensor,
        pooled_projections: torch.Tensor | None = None,
        timestep: torch.Tensor | None = None,
        reference: ReferenceFeatures | None = None,
        pose: torch.Tensor | None = None,
        modulations: Modulations | None = None,
        return_dict: bool = True,
    ) -> Transformer2DModelOutput | tuple[torch.Tensor]:
        """One prediction of the flow's velocity.

        Args:
            hidden_states: (B, 33, h, w): noisy latents, latents of the masked person, mask (1 = repaint).
            pooled_projections: (B, P), the garment's image embeddings.
            timestep: (B,), in [0, 1000].
            reference: The garment's features, as many as there are blocks; None reads none.
            pose: (B, N, D), the pose guider's tokens, added to the embedded patches; None adds none.
            modulations: Instead of `pooled_projections` and `timestep`: what `modulations` made of them.

        Returns:
            The velocity, (B, 16, h, w), as `.sample`.

        Raises:
            ValueError: The reference does not have one entry a block, or the pose has other tokens.
        """
        blocks = self.transformer_blocks
        if reference is not None and len(reference) != len(blocks):
            raise ValueError(f"The reference has {len(reference)} blocks, the denoiser {len(blocks)}.")
        if modulations is None:
            embedded = self.embed(timestep, pooled_projections)
            modulations = Modulations([embedded] * len(blocks), [], embedded)
        height, width = hidden_states.shape[-2:]

        image = self.pos_embed(hidden_states).contiguous()  # (B, N, D)
        if pose is not None:
            if pose.shape != image.shape:
                raise ValueError(f"pose must be {tuple(image.shape)}, got {tuple(pose.shape)}.")
            image = image + pose.to(image.dtype)
        for index, block in enumerate(blocks):
            arguments = [image, modulations.image[index]]
            if reference is not None:
                arguments += [reference.keys[index], reference.values[index]]
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                image = self._gradient_checkpointing_func(block, *arguments)
            else:
                image = block(*arguments)

        sample = self.read_out(image, modulations.out, height, width)  # (B, C, h, w)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

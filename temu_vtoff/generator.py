"""The generator: the stock SD3 transformer, key for key, whose attentions also read the person's reference features
(multimodal hybrid attention, arXiv 2505.21062, section 3.2).

Letters: B batch, N image tokens, T text tokens, D width, h w latent size, p patch size, L blocks.
"""

from functools import wraps

import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

from temu_vtoff.attention import HybridAttnProcessor
from temu_vtoff.checkpoints import StrictLoadingMixin
from temu_vtoff.feature_extractor import ReferenceFeatures


class TryOffTransformer(StrictLoadingMixin, SD3Transformer2DModel):
    """SD3's transformer with hybrid attention; configuration and weights are those of `SD3Transformer2DModel`.

    Raises:
        ValueError: A configuration with dual attention layers (SD3.5): the paper defines no reference for them.
    """

    _repeated_blocks = ["JointTransformerBlock"]

    @wraps(SD3Transformer2DModel.__init__)  # diffusers reads the configuration's names from the signature
    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.config.dual_attention_layers:
            raise ValueError("TryOffTransformer is defined for SD3 blocks; dual_attention_layers must be empty.")
        self.set_attn_processor(HybridAttnProcessor())

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        pooled_projections: torch.Tensor,
        timestep: torch.Tensor,
        reference: ReferenceFeatures | None = None,
        return_dict: bool = True,
    ) -> Transformer2DModelOutput | tuple[torch.Tensor]:
        """One prediction of the flow's velocity.

        Args:
            hidden_states: (B, 16, h, w), the noisy latents of the product picture.
            encoder_hidden_states: (B, T, joint_attention_dim), the caption's embeddings.
            pooled_projections: (B, pooled_projection_dim), the caption's pooled embedding.
            timestep: (B,), in [0, 1000].
            reference: The person's features, as many as there are blocks; None is the stock SD3 transformer.

        Returns:
            The velocity, (B, 16, h, w), as `.sample`.

        Raises:
            ValueError: The reference does not have one entry a block.
        """
        blocks = self.transformer_blocks
        if reference is not None and len(reference) != len(blocks):
            raise ValueError(f"The reference has {len(reference)} blocks, the generator {len(blocks)}.")
        height, width = hidden_states.shape[-2:]

        image = self.pos_embed(hidden_states).contiguous()  # (B, N, D)
        text = self.context_embedder(encoder_hidden_states)  # (B, T, D)
        temb = self.time_text_embed(timestep, pooled_projections)  # (B, D)

        for index, block in enumerate(blocks):
            attended_too = (
                {"reference_key": reference.keys[index], "reference_value": reference.values[index]}
                if reference is not None
                else {}
            )
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                text, image = self._gradient_checkpointing_func(block, image, text, temb, attended_too)
            else:
                text, image = block(image, text, temb, joint_attention_kwargs=attended_too)

        patches = self.proj_out(self.norm_out(image, temb))  # (B, N, p p C)
        sample = unpatchify(patches, height, width, self.config.patch_size)  # (B, C, h, w)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def fuse_qkv_projections(self) -> None:
        """Not available: diffusers' fused processor would drop the reference without a word."""
        raise ValueError("fuse_qkv_projections() is not available here: its attention would ignore the reference.")


def unpatchify(patches: torch.Tensor, height: int, width: int, patch_size: int) -> torch.Tensor:
    """(B, N, p p C) -> (B, C, height, width); within a token the channels run fastest, as in SD3."""
    rows, columns = height // patch_size, width // patch_size
    grid = patches.unflatten(1, (rows, columns)).unflatten(-1, (patch_size, patch_size, -1))  # (B, r, c, p, p, C)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, rows * patch_size, columns * patch_size)

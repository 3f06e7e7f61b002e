"""The generator: the stock SD3 transformer, key for key, whose attentions also read the person's reference features
(multimodal hybrid attention, arXiv 2505.21062, section 3.2: Q = [image, text], K = [image, reference, text]).

Letters: B batch, N image tokens, T text tokens, D width, h w latent size, p patch size, L blocks, S steps.
"""

from functools import wraps

import torch
from diffusers.models.attention import JointTransformerBlock
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

from temu_vtoff.hub.strict import StrictLoadingMixin
from temu_vtoff.models.attention import HybridAttentionMixin, HybridAttnProcessor
from temu_vtoff.models.feature_extractor import ReferenceFeatures
from temu_vtoff.models.modulations import BeforehandMixin, Modulations, modulate, modulation


class HybridBlock(JointTransformerBlock):
    """SD3's block with hybrid attention, and with AdaLN's modulations given instead of computed."""

    def forward(
        self,
        image: torch.Tensor,
        text: torch.Tensor,
        image_modulation: torch.Tensor,
        text_modulation: torch.Tensor,
        reference_key: torch.Tensor | None = None,
        reference_value: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """
        Args:
            image: (B, N, D).
            text: (B, T, D).
            image_modulation: (B, 6, D), or (B, D) to compute it here.
            text_modulation: (B, 6, D), in the last block, whose text ends here, (B, 2, D); or (B, D).
            reference_key, reference_value: (B, R, D); both or neither.

        Returns:
            Text, None from the last block, and image.
        """
        image_modulation = modulation(self.norm1, image_modulation)
        text_modulation = modulation(self.norm1_context, text_modulation)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = image_modulation[:, :, None].unbind(1)  # each (B, 1, D)
        if self.context_pre_only:
            text_scale, text_shift = text_modulation[:, :, None].unbind(1)
        else:
            text_shift, text_scale, text_gate, *text_mlp = text_modulation[:, :, None].unbind(1)

        attended, text_attended = self.attn(
            hidden_states=modulate(self.norm1.norm(image), shift, scale),
            encoder_hidden_states=modulate(self.norm1_context.norm(text), text_shift, text_scale),
            reference_key=reference_key,
            reference_value=reference_value,
        )  # (B, N, D), (B, T, D)

        image = image + gate * attended
        image = image + mlp_gate * self.ff(modulate(self.norm2(image), mlp_shift, mlp_scale))
        if self.context_pre_only:
            return None, image
        mlp_shift, mlp_scale, mlp_gate = text_mlp
        text = text + text_gate * text_attended
        text = text + mlp_gate * self.ff_context(modulate(self.norm2_context(text), mlp_shift, mlp_scale))
        return text, image


class TryOffTransformer(HybridAttentionMixin, BeforehandMixin, StrictLoadingMixin, SD3Transformer2DModel):
    """SD3's transformer with hybrid attention; configuration and weights are those of `SD3Transformer2DModel`.

    Raises:
        ValueError: A configuration with dual attention layers (SD3.5): the paper defines no reference for them.
    """

    _repeated_blocks = ["HybridBlock"]
    _no_split_modules = ["HybridBlock"]

    @wraps(SD3Transformer2DModel.__init__)  # diffusers reads the configuration's names from the signature
    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.config.dual_attention_layers:
            raise ValueError("TryOffTransformer is defined for SD3 blocks; dual_attention_layers must be empty.")
        for block in self.transformer_blocks:
            block.__class__ = HybridBlock  # the same weights, another forward
        self.set_attn_processor(HybridAttnProcessor())

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        pooled_projections: torch.Tensor | None = None,
        timestep: torch.Tensor | None = None,
        reference: ReferenceFeatures | None = None,
        modulations: Modulations | None = None,
        return_dict: bool = True,
    ) -> Transformer2DModelOutput | tuple[torch.Tensor]:
        """One prediction of the flow's velocity.

        Args:
            hidden_states: (B, 16, h, w), the noisy latents of the product picture.
            encoder_hidden_states: (B, T, joint_attention_dim), the caption's embeddings.
            pooled_projections: (B, pooled_projection_dim), the caption's pooled embedding.
            timestep: (B,), in [0, 1000].
            reference: The person's features, as many as there are blocks; None is the stock SD3 transformer.
            modulations: Result of `modulations`, instead of `pooled_projections` and `timestep`.

        Returns:
            The velocity, (B, 16, h, w), as `.sample`.

        Raises:
            ValueError: The reference does not have one entry a block.
        """
        blocks = self.transformer_blocks
        if reference is not None and len(reference) != len(blocks):
            raise ValueError(f"The reference has {len(reference)} blocks, the generator {len(blocks)}.")
        if modulations is None:
            embedded = self.embed(timestep, pooled_projections)
            modulations = Modulations([embedded] * len(blocks), [embedded] * len(blocks), embedded)
        height, width = hidden_states.shape[-2:]

        image = self.pos_embed(hidden_states).contiguous()  # (B, N, D)
        text = self.context_embedder(encoder_hidden_states)  # (B, T, D)
        for index, block in enumerate(blocks):
            arguments = [image, text, modulations.image[index], modulations.text[index]]
            if reference is not None:
                arguments += [reference.keys[index], reference.values[index]]
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                text, image = self._gradient_checkpointing_func(block, *arguments)
            else:
                text, image = block(*arguments)

        sample = self.read_out(image, modulations.out, height, width)  # (B, C, h, w)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

"""The generator: the stock SD3 transformer, key for key, whose attentions also read the person's reference features
(multimodal hybrid attention, arXiv 2505.21062, section 3.2: Q = [image, text], K = [image, reference, text]).

Letters: B batch, N image tokens, T text tokens, D width, h w latent size, p patch size, L blocks, S steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import wraps

import torch
from diffusers.hooks.group_offloading import _is_group_offload_enabled
from diffusers.models.attention import JointTransformerBlock
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import nn
from torch.nn import functional as F

from temu_vtoff.hub.strict import StrictLoadingMixin
from temu_vtoff.models.attention import HybridAttnProcessor
from temu_vtoff.models.feature_extractor import ReferenceFeatures


@dataclass(frozen=True)
class Modulations:
    """AdaLN's shifts, scales and gates, which depend on timestep and pooled text alone.

    Each may also be the embedding of both, (B, D), which its block then computes them of.

    Attributes:
        image: Of each of the L blocks, (B, 6, D).
        text: Of each of the L blocks, (B, 6, D); of the last block (B, 2, D).
        out: Of the last norm, (B, 2, D).
    """

    image: Sequence[torch.Tensor]
    text: Sequence[torch.Tensor]
    out: torch.Tensor

    def __getitem__(self, items: slice) -> "Modulations":
        """The modulations of some items of the batch."""
        return Modulations([m[items] for m in self.image], [m[items] for m in self.text], self.out[items])


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


class TryOffTransformer(StrictLoadingMixin, SD3Transformer2DModel):
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

    @property
    def computes_beforehand(self) -> bool:
        """Whether `modulations` can be called: with diffusers' group offloading the weights come in `forward` alone."""
        return not _is_group_offload_enabled(self)

    @apply_forward_hook  # with CPU offloading the weights may be elsewhere
    def modulations(self, timestep: torch.Tensor, pooled_projections: torch.Tensor) -> Modulations:
        """AdaLN of all blocks: for the S steps of a sampling at once, its weights, a third of all, are read once.

        Args:
            timestep: (S,) or (B,), in [0, 1000].
            pooled_projections: (B, P). With S timesteps for B items, give both S B times.
        """
        embedded = self._embed(timestep, pooled_projections)
        return Modulations(
            [modulation(block.norm1, embedded) for block in self.transformer_blocks],
            [modulation(block.norm1_context, embedded) for block in self.transformer_blocks],
            modulation(self.norm_out, embedded),
        )

    def _embed(self, timestep: torch.Tensor, pooled_projections: torch.Tensor) -> torch.Tensor:
        """What AdaLN's linear layers read, (B, D)."""
        return F.silu(self.time_text_embed(timestep, pooled_projections))

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
            modulations: Instead of `pooled_projections` and `timestep`: what `modulations` made of them.

        Returns:
            The velocity, (B, 16, h, w), as `.sample`.

        Raises:
            ValueError: The reference does not have one entry a block.
        """
        blocks = self.transformer_blocks
        if reference is not None and len(reference) != len(blocks):
            raise ValueError(f"The reference has {len(reference)} blocks, the generator {len(blocks)}.")
        if modulations is None:
            embedded = self._embed(timestep, pooled_projections)
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

        scale, shift = modulation(self.norm_out, modulations.out)[:, :, None].unbind(1)
        patches = self.proj_out(modulate(self.norm_out.norm(image), shift, scale))  # (B, N, p p C)
        sample = unpatchify(patches, height, width, self.config.patch_size)  # (B, C, h, w)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def fuse_qkv_projections(self) -> None:
        """Not available: diffusers' fused processor would drop the reference without a word."""
        raise ValueError("fuse_qkv_projections() is not available here: its attention would ignore the reference.")


def modulation(norm: nn.Module, given: torch.Tensor) -> torch.Tensor:
    """AdaLN's parameters (B, 6 or 2, D): as they are, or computed of the embedding (B, D)."""
    return given if given.ndim == 3 else norm.linear(given).unflatten(-1, (-1, given.shape[-1]))


def modulate(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """AdaLN after the norm: (B, N, D), 2 x (B, 1, D) -> (B, N, D)."""
    return x * (1 + scale) + shift


def unpatchify(patches: torch.Tensor, height: int, width: int, patch_size: int) -> torch.Tensor:
    """(B, N, p p C) -> (B, C, height, width); within a token the channels run fastest, as in SD3."""
    rows, columns = height // patch_size, width // patch_size
    grid = patches.unflatten(1, (rows, columns)).unflatten(-1, (patch_size, patch_size, -1))  # (B, r, c, p, p, C)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, rows * patch_size, columns * patch_size)

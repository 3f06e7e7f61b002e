"""A plain statement of the published computation (arXiv 2505.21062, section 3), against which speed is measured.

Two stock SD3 transformers of diffusers, run eagerly: the feature extractor in full, its last block and unused output
included; the generator with the reference concatenated to the keys and values of every block at every step,

    softmax([Q_image, Q_text] [K_image, K_reference, K_text]^T / sqrt(d)) [V_image, V_reference, V_text],

its modulations computed in every block at every step, Euler's steps, guidance on all of them. It uses nothing of
`temu_vtoff` but the weights that it is given.

Letters: B pictures, N image tokens, D width, h w latent size.
"""

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from diffusers.models.attention_processor import Attention
from torch import nn
from torch.nn import functional as F

Reference = list[tuple[torch.Tensor, torch.Tensor]]  # keys and values (B, N, D) of each block


def stock(model: nn.Module) -> SD3Transformer2DModel:
    """A stock SD3 transformer with the weights of a generator or of a feature extractor; missing weights are random."""
    config = {name: value for name, value in model.config.items() if not name.startswith("_")}
    if "caption_projection_dim" not in config:  # the extractor has no text
        width = config["num_attention_heads"] * config["attention_head_dim"]
        config |= {"caption_projection_dim": width, "joint_attention_dim": 1, "out_channels": 16}
    parameter = next(model.parameters())
    with torch.device(parameter.device):
        transformer = SD3Transformer2DModel(**config).to(parameter.dtype).eval()
    transformer.load_state_dict(model.state_dict(), strict=False)
    return transformer


def extract(extractor: SD3Transformer2DModel, person: torch.Tensor, pooled: torch.Tensor) -> Reference:
    """The person's keys and values, (B, 33, h, w) and (B, P) at timestep 0."""
    reference = []
    temb = extractor.time_text_embed(person.new_zeros(len(person)), pooled)
    stream = extractor.pos_embed(person)
    for block in extractor.transformer_blocks:
        normed, gate, mlp_shift, mlp_scale, mlp_gate = block.norm1(stream, emb=temb)
        key, value = block.attn.to_k(normed), block.attn.to_v(normed)
        reference.append((key, value))
        attended = _attend(block.attn, [block.attn.to_q(normed)], [key], [value])
        stream = stream + gate[:, None] * block.attn.to_out[0](attended)
        normed = block.norm2(stream) * (1 + mlp_scale[:, None]) + mlp_shift[:, None]
        stream = stream + mlp_gate[:, None] * block.ff(normed)
    extractor.proj_out(extractor.norm_out(stream, temb))
    return reference


def denoise(
    generator: SD3Transformer2DModel,
    scheduler: FlowMatchEulerDiscreteScheduler,
    latents: torch.Tensor,
    prompt_embeds: torch.Tensor,
    pooled: torch.Tensor,
    reference: Reference,
    steps: int,
    guidance_scale: float,
) -> torch.Tensor:
    """(B, 16, h, w) noise to latents; conditions of 2 B, the negative ones first."""
    for block, (key, value) in zip(generator.transformer_blocks, reference, strict=True):
        block.attn.processor = _HybridAttention(key, value)
    scheduler.set_timesteps(steps, device=latents.device)
    for timestep in scheduler.timesteps:
        noisy = torch.cat([latents, latents]).to(prompt_embeds.dtype)
        velocity = generator(noisy, prompt_embeds, pooled, timestep.expand(len(noisy)), return_dict=False)[0].float()
        negative, positive = velocity.chunk(2)
        velocity = negative + guidance_scale * (positive - negative)
        latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
    return latents


class _HybridAttention:
    """An attention processor of one block, which holds the block's reference."""

    def __init__(self, key: torch.Tensor, value: torch.Tensor) -> None:
        self.key, self.value = key, value

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        image, text = hidden_states, encoder_hidden_states
        attended = _attend(
            attn,
            [attn.to_q(image), attn.add_q_proj(text)],
            [attn.to_k(image), self.key, attn.add_k_proj(text)],
            [attn.to_v(image), self.value, attn.add_v_proj(text)],
        )
        image, text = attended.split([image.shape[1], text.shape[1]], dim=1)
        return attn.to_out[0](image), text if attn.context_pre_only else attn.to_add_out(text)


def _attend(attn: Attention, *streams: list[torch.Tensor]) -> torch.Tensor:
    """Queries, keys and values, each in parts (B, ., D) -> (B, N, D)."""
    query, key, value = (torch.cat(x, dim=1).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in streams)
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)

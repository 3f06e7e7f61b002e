"""Both transformers, tiny, with random weights, and a batch that they can train on."""

import torch

from temu_vtoff import FeatureExtractor, TryOffTransformer
from temu_vtoff.training.encoding import EncodedBatch
from temu_vtoff.training.step_sampler import item_generators, step_generator

C, H, W, T, P = 4, 8, 6, 5, 16  # latent channels, latent size, text tokens, pooled width
SHAPE = {"sample_size": 8, "patch_size": 2, "num_layers": 2, "attention_head_dim": 8, "num_attention_heads": 2}
SHAPE |= {"pooled_projection_dim": P, "pos_embed_max_size": 8}
LAST_TEXT_QUERY = "transformer_blocks.1.attn.add_q_proj"  # SD3 has it, and nothing reads what it asks for


def make_extractor(kind: type[FeatureExtractor] = FeatureExtractor) -> FeatureExtractor:
    torch.manual_seed(0)
    return kind(in_channels=2 * C + 1, **SHAPE)


def make_generator() -> TryOffTransformer:
    torch.manual_seed(1)
    return TryOffTransformer(in_channels=C, out_channels=C, joint_attention_dim=12, caption_projection_dim=16, **SHAPE)


def make_batch(count: int = 2) -> EncodedBatch:
    g = step_generator(5)
    randn = lambda *shape: torch.randn(count, *shape, generator=g)
    return EncodedBatch(
        person_mean=randn(C, H, W),
        person_std=randn(C, H, W).abs() * 0.01,
        masked_mean=randn(C, H, W),
        masked_std=randn(C, H, W).abs() * 0.01,
        mask=(randn(1, H, W) > 0).float(),
        garment_latents=randn(C, H, W),
        image_embeds=randn(P),
        prompt_embeds=randn(T, 12),
        pooled_prompt_embeds=randn(P),
    )


def gradients(module: torch.nn.Module) -> set[bool]:
    """Whether the parameters have gradients: {True}, {False}, or both."""
    named = [(name, p.grad) for name, p in module.named_parameters() if not name.startswith(LAST_TEXT_QUERY)]
    return {grad is not None and bool(grad.abs().sum() > 0) for _, grad in named}


def rngs(seed: int = 0, count: int = 2) -> list[torch.Generator]:
    """A random generator for each item of `make_batch`."""
    return item_generators(seed, 0, count)


def same_coords(count: int = 2, rows: int = H, columns: int = W) -> torch.Tensor:
    """Every place of the product picture is seen at the same place of the photo."""
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
    return torch.stack([x, y], dim=-1).expand(count, -1, -1, -1).clone()

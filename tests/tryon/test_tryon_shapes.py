"""The try-on denoiser and extractor on shapes that the golden data lack, against the equations of docs/model.md.

The equations are written out here from the raw weights, and compared with the golden data first.
"""

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from temu_vtoff import FeatureExtractor, TryOnTransformer
from tests.tryon.test_tryon_parity import GOLDEN, PART

SHAPES = [(4, 2, 12, 8), (4, 3, 6, 10), (1, 1, 8, 8)]  # layers, batch, latent height and width


def written_out(
    weights: dict[str, torch.Tensor],
    heads: int,
    hidden_states: torch.Tensor,
    pooled: torch.Tensor,
    timestep: torch.Tensor,
    reference: list[tuple[torch.Tensor, torch.Tensor]] | None = None,
    pose: torch.Tensor | None = None,
) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
    """The velocity, and each block's keys and values before the reference is joined."""

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def mlp(name: str, x: torch.Tensor) -> torch.Tensor:
        return linear(f"{name}.linear_2", F.silu(linear(f"{name}.linear_1", x)))

    x = F.conv2d(hidden_states, weights["pos_embed.proj.weight"], weights["pos_embed.proj.bias"], stride=2)
    batch, width, rows, columns = x.shape
    side = round(weights["pos_embed.pos_embed"].shape[1] ** 0.5)
    top, left = (side - rows) // 2, (side - columns) // 2
    table = weights["pos_embed.pos_embed"].reshape(side, side, width)[top : top + rows, left : left + columns]
    x = x.flatten(2).transpose(1, 2) + table.reshape(1, rows * columns, width)
    x = x if pose is None else x + pose
    angles = timestep[:, None].float() * torch.exp(-torch.arange(128) / 128 * torch.log(torch.tensor(10000.0)))
    sinusoid = torch.cat([angles.cos(), angles.sin()], 1)
    c = mlp("time_text_embed.timestep_embedder", sinusoid) + mlp("time_text_embed.text_embedder", pooled)
    own, blocks = [], {name.split(".")[1] for name in weights if name.startswith("transformer_blocks.")}
    for number in range(len(blocks)):
        block = f"transformer_blocks.{number}"
        parts = linear(f"{block}.norm1.linear", F.silu(c))[:, None].chunk(6, -1)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = parts
        normed = F.layer_norm(x, (width,), eps=1e-6) * (1 + scale) + shift
        k, v = (linear(f"{block}.attn.to_{name}", normed) for name in "kv")
        own.append((k, v))
        if f"{block}.attn.to_q.weight" not in weights:  # the extractor's last block: nothing reads what follows
            return x, own
        q = linear(f"{block}.attn.to_q", normed)
        if reference is not None:
            k, v = (torch.cat(both, 1) for both in zip((k, v), reference[number], strict=True))
        q, k, v = (y.reshape(batch, -1, heads, width // heads).transpose(1, 2) for y in (q, k, v))
        attended = (q @ k.transpose(-1, -2) / (width // heads) ** 0.5).softmax(-1) @ v
        x = x + gate * linear(f"{block}.attn.to_out.0", attended.transpose(1, 2).reshape(batch, -1, width))
        normed = F.layer_norm(x, (width,), eps=1e-6) * (1 + mlp_scale) + mlp_shift
        hidden = F.gelu(linear(f"{block}.ff.net.0.proj", normed), approximate="tanh")
        x = x + mlp_gate * linear(f"{block}.ff.net.2", hidden)
    scale, shift = linear("norm_out.linear", F.silu(c))[:, None].chunk(2, -1)
    x = linear("proj_out", F.layer_norm(x, (width,), eps=1e-6) * (1 + scale) + shift)
    x = x.reshape(batch, rows, columns, 2, 2, -1).permute(0, 5, 1, 3, 2, 4)
    return x.reshape(batch, -1, 2 * rows, 2 * columns), own


@torch.no_grad()
def test_the_equations_give_the_golden_velocity():
    golden = load_file(GOLDEN / "golden.safetensors")
    weights = load_file(GOLDEN / "transformer_vton" / "diffusion_pytorch_model.safetensors")
    given = (golden[f"denoiser.in.{name}"] for name in ("hidden_states", "pooled_projections", "timestep"))
    reference = [tuple(golden[f"garment.out.{part}.{i}"] for part in ("key", "value")) for i in range(3)]
    velocity, _ = written_out(weights, 4, *given, reference=reference, pose=golden["pose.out.tokens"])
    torch.testing.assert_close(velocity, golden["denoiser.out.sample"], atol=PART, rtol=0)


@pytest.mark.parametrize("layers, batch, height, width", SHAPES)
@torch.no_grad()
def test_other_shapes_follow_the_equations(layers, batch, height, width):
    torch.manual_seed(layers)
    shape = {"sample_size": 12, "num_layers": layers, "attention_head_dim": 8, "num_attention_heads": 3}
    shape |= {"pooled_projection_dim": 28, "pos_embed_max_size": 10}
    extractor, denoiser = FeatureExtractor(in_channels=16, **shape), TryOnTransformer(**shape)
    garment, pooled, timestep = torch.randn(batch, 16, height, width), torch.randn(batch, 28), torch.zeros(batch)
    reference = extractor(garment, pooled)
    _, own = written_out(extractor.state_dict(), 3, garment, pooled, timestep)
    pairs = list(zip(reference.keys, reference.values, strict=True))
    for ours, theirs in zip(pairs, own, strict=True):
        for tensor, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(tensor, expected, atol=PART, rtol=0)
    noisy, pose = torch.randn(batch, 33, height, width), torch.randn(batch, height * width // 4, 24)
    timestep = torch.linspace(900, 100, batch)
    for given in (None, pose):
        velocity = denoiser(noisy, pooled, timestep, reference, pose=given).sample
        expected, _ = written_out(denoiser.state_dict(), 3, noisy, pooled, timestep, reference=pairs, pose=given)
        torch.testing.assert_close(velocity, expected, atol=PART, rtol=0)

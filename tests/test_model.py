"""The two transformers: equal to the published computation, and what must hold of any weights."""

import pytest
import torch
from diffusers import SD3Transformer2DModel
from golden_checkpoint import GOLDEN
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from temu_vtoff import FeatureExtractor, ReferenceFeatures, TryOffTransformer
from temu_vtoff.hub.errors import CheckpointError

SHAPES = [(3, 2, 12, 8), (4, 1, 8, 8), (2, 3, 6, 10)]  # layers, batch, latent height and width


def make_generator(layers: int = 3, **config) -> TryOffTransformer:
    torch.manual_seed(layers)
    config = {
        "sample_size": 12,
        "in_channels": 16,
        "num_layers": layers,
        "attention_head_dim": 8,
        "num_attention_heads": 3,
        "joint_attention_dim": 20,
        "caption_projection_dim": 24,
        "pooled_projection_dim": 28,
        "pos_embed_max_size": 10,
    } | config
    return TryOffTransformer(**config).eval()


def make_extractor(layers: int = 3) -> FeatureExtractor:
    torch.manual_seed(layers + 100)
    return FeatureExtractor(
        sample_size=12,
        num_layers=layers,
        attention_head_dim=8,
        num_attention_heads=3,
        pooled_projection_dim=28,
        pos_embed_max_size=10,
    ).eval()


def make_inputs(batch: int, height: int, width: int) -> dict[str, torch.Tensor]:
    noise = torch.Generator().manual_seed(1)
    return {
        "hidden_states": torch.randn(batch, 16, height, width, generator=noise),
        "encoder_hidden_states": torch.randn(batch, 7, 20, generator=noise),
        "pooled_projections": torch.randn(batch, 28, generator=noise),
        "timestep": torch.linspace(900, 100, batch),
    }


def make_reference(extractor: FeatureExtractor, batch: int, height: int, width: int) -> ReferenceFeatures:
    noise = torch.Generator().manual_seed(2)
    person = torch.randn(batch, 33, height, width, generator=noise)
    return extractor(person, torch.randn(batch, 28, generator=noise))


@torch.no_grad()
def test_extractor_gives_the_published_keys_and_values(golden):
    extractor = FeatureExtractor.from_pretrained(GOLDEN, subfolder="transformer_vton")
    reference = extractor(golden["extractor.in.hidden_states"], golden["extractor.in.pooled_projections"])
    assert len(reference) == 3
    for i, (key, value) in enumerate(zip(reference.keys, reference.values, strict=True)):
        torch.testing.assert_close(key, golden[f"extractor.out.key.{i}"], atol=1e-4, rtol=0)
        torch.testing.assert_close(value, golden[f"extractor.out.value.{i}"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_generator_gives_the_published_velocity(golden):
    generator = TryOffTransformer.from_pretrained(GOLDEN, subfolder="transformer")
    names = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep")
    reference = ReferenceFeatures(
        [golden[f"extractor.out.key.{i}"] for i in range(3)], [golden[f"extractor.out.value.{i}"] for i in range(3)]
    )
    velocity = generator(**{name: golden[f"generator.in.{name}"] for name in names}, reference=reference).sample
    torch.testing.assert_close(velocity, golden["generator.out.sample"], atol=1e-4, rtol=0)


def test_generator_holds_the_published_weights_key_for_key():
    published = load_file(GOLDEN / "transformer" / "diffusion_pytorch_model.safetensors")
    ours = TryOffTransformer.from_pretrained(GOLDEN, subfolder="transformer").state_dict()
    assert ours.keys() == published.keys()
    assert all(torch.equal(ours[key], published[key]) for key in published)


def test_extractor_leaves_what_it_does_not_need():
    published = load_file(GOLDEN / "transformer_vton" / "diffusion_pytorch_model.safetensors")
    ours = FeatureExtractor.from_pretrained(GOLDEN, subfolder="transformer_vton").state_dict()
    left = published.keys() - ours.keys()
    assert ours.keys() < published.keys()
    assert "transformer_blocks.2.attn.to_q.weight" in left and "transformer_blocks.1.attn.to_q.weight" not in left
    assert {key.split(".")[0] for key in left} == {"context_embedder", "norm_out", "proj_out", "transformer_blocks"}


@pytest.mark.parametrize("model", [FeatureExtractor, TryOffTransformer])
@pytest.mark.parametrize("change", ["missing", "surplus", "shape"])
def test_a_wrong_checkpoint_is_refused_by_name(tmp_path, model, change):
    subfolder = "transformer" if model is TryOffTransformer else "transformer_vton"
    weights = load_file(GOLDEN / subfolder / "diffusion_pytorch_model.safetensors")
    key = "transformer_blocks.0.attn.to_k.weight"
    if change == "missing":
        del weights[key]
    elif change == "surplus":
        key = "transformer_blocks.0.attn.to_k.lora"
        weights[key] = torch.zeros(1)
    else:
        weights[key] = torch.zeros(2, 2)
    save_file(weights, tmp_path / "diffusion_pytorch_model.safetensors")
    (tmp_path / "config.json").write_bytes((GOLDEN / subfolder / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match=key.replace(".", r"\.")):
        model.from_pretrained(tmp_path)


@pytest.mark.parametrize("layers, batch, height, width", SHAPES)
@torch.no_grad()
def test_without_reference_the_generator_is_stock_sd3(layers, batch, height, width):
    generator = make_generator(layers)
    stock = SD3Transformer2DModel.from_config(generator.config).eval()
    stock.load_state_dict(generator.state_dict())
    inputs = make_inputs(batch, height, width)
    torch.testing.assert_close(generator(**inputs).sample, stock(**inputs).sample)


@pytest.mark.parametrize("layers, batch, height, width", SHAPES)
@torch.no_grad()
def test_hybrid_attention_is_joint_attention_over_the_reference_too(layers, batch, height, width):
    """Against a plain statement of it, written on the stock transformer by hooks."""
    generator, extractor = make_generator(layers), make_extractor(layers)
    reference = make_reference(extractor, batch, height, width)
    inputs = make_inputs(batch, height, width)

    stock = SD3Transformer2DModel.from_config(generator.config).eval()
    stock.load_state_dict(generator.state_dict())
    for block, key, value in zip(stock.transformer_blocks, reference.keys, reference.values, strict=True):

        def attend(attn, hidden_states, encoder_hidden_states, attention_mask=None, key=key, value=value):
            def heads(*streams):
                return torch.cat(streams, dim=1).unflatten(-1, (attn.heads, -1)).transpose(1, 2)

            text = encoder_hidden_states
            mixed = F.scaled_dot_product_attention(
                heads(attn.to_q(hidden_states), attn.add_q_proj(text)),
                heads(attn.to_k(hidden_states), key, attn.add_k_proj(text)),
                heads(attn.to_v(hidden_states), value, attn.add_v_proj(text)),
            )
            mixed = mixed.transpose(1, 2).flatten(2)
            image, text = mixed.split([hidden_states.shape[1], text.shape[1]], dim=1)
            return attn.to_out[0](image), text if attn.context_pre_only else attn.to_add_out(text)

        block.attn.processor = attend
    torch.testing.assert_close(generator(**inputs, reference=reference).sample, stock(**inputs).sample)


@torch.no_grad()
def test_reference_values_of_zero_only_dilute():
    """Zero keys and values take their share of the softmax and add nothing: the output is neither stock nor broken."""
    generator = make_generator(layers=2)
    inputs = make_inputs(1, 8, 8)
    zeros = [torch.zeros(1, 16, 24)] * 2
    empty = [torch.zeros(1, 0, 24)] * 2
    stock = generator(**inputs).sample
    torch.testing.assert_close(generator(**inputs, reference=ReferenceFeatures(empty, empty)).sample, stock)
    diluted = generator(**inputs, reference=ReferenceFeatures(zeros, zeros)).sample
    assert diluted.isfinite().all() and not torch.allclose(diluted, stock, atol=1e-5)


@torch.no_grad()
def test_items_of_a_batch_do_not_meet():
    generator, extractor = make_generator(), make_extractor()
    inputs, reference = make_inputs(3, 8, 8), make_reference(extractor, 3, 8, 8)
    order = torch.tensor([2, 0, 1])
    expected = generator(**inputs, reference=reference).sample[order]
    shuffled = generator(**{name: x[order] for name, x in inputs.items()}, reference=reference[order]).sample
    torch.testing.assert_close(shuffled, expected)


@torch.no_grad()
def test_reference_changes_with_person_mask_photo_and_embedding():
    extractor = make_extractor()
    person, pooled = torch.randn(1, 33, 8, 8), torch.randn(1, 28)
    plain = extractor(person, pooled).values[-1]
    for channels in (slice(0, 16), slice(16, 17), slice(17, 33)):
        other = person.clone()
        other[:, channels] += 1
        assert not torch.allclose(extractor(other, pooled).values[-1], plain, atol=1e-5)
    assert not torch.allclose(extractor(person, torch.zeros_like(pooled)).values[-1], plain, atol=1e-5)


@pytest.mark.parametrize("make", [make_extractor, make_generator])
def test_saved_models_load_again(tmp_path, make):
    model = make()
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert all(torch.equal(x, loaded.state_dict()[key]) for key, x in model.state_dict().items())


def test_gradients_reach_both_models_with_and_without_checkpointing():
    grads = []
    for checkpointing in (False, True):
        generator, extractor = make_generator().train(), make_extractor().train()
        if checkpointing:
            generator.enable_gradient_checkpointing()
            extractor.enable_gradient_checkpointing()
        reference = make_reference(extractor, 2, 8, 8)
        generator(**make_inputs(2, 8, 8), reference=reference).sample.square().mean().backward()
        grads.append([p.grad for model in (generator, extractor) for p in model.parameters() if p.grad is not None])
        assert extractor.transformer_blocks[0].attn.to_q.weight.grad.abs().sum() > 0
        assert extractor.transformer_blocks[-1].attn["to_v"].weight.grad.abs().sum() > 0
    for plain, checkpointed in zip(*grads, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_the_repeated_blocks_compile_at_most_twice():
    """One stateless processor, the reference as an argument: the blocks, and the last one without text output."""
    generator, extractor = make_generator(layers=7), make_extractor(layers=7)
    frames = []

    def backend(graph, example_inputs):
        frames.append(graph)
        return graph.forward

    reference = make_reference(extractor, 1, 8, 8)
    expected = generator(**make_inputs(1, 8, 8), reference=reference).sample
    torch._dynamo.reset()
    generator.compile_repeated_blocks(fullgraph=True, backend=backend)
    with torch.no_grad():
        compiled = generator(**make_inputs(1, 8, 8), reference=reference).sample
        generator(**make_inputs(1, 8, 8), reference=reference)
    torch._dynamo.reset()
    assert 1 <= len(frames) <= 2
    torch.testing.assert_close(compiled, expected)


def test_attention_backends_can_be_chosen():
    from diffusers.models.attention_dispatch import AttentionBackendName

    generator, extractor = make_generator(), make_extractor()
    reference = make_reference(extractor, 1, 8, 8)
    expected = generator(**make_inputs(1, 8, 8), reference=reference).sample
    for model in (generator, extractor):
        model.set_attention_backend("_native_math")
        used = {p._attention_backend for p in model.attn_processors.values()}
        assert used == {AttentionBackendName._NATIVE_MATH}
    torch.testing.assert_close(generator(**make_inputs(1, 8, 8), reference=reference).sample, expected)
    for model in (generator, extractor):
        model.reset_attention_backend()


def test_mistakes_are_told():
    generator, extractor = make_generator(layers=3), make_extractor(layers=2)
    with pytest.raises(ValueError, match="2 blocks, the generator 3"):
        generator(**make_inputs(1, 8, 8), reference=make_reference(extractor, 1, 8, 8))
    with pytest.raises(ValueError, match="ignore the reference"):
        generator.fuse_qkv_projections()
    with pytest.raises(ValueError, match="dual_attention_layers"):
        make_generator(dual_attention_layers=(0,))
    with pytest.raises(ValueError, match="1 and 2"):
        ReferenceFeatures([torch.zeros(1)], [torch.zeros(1)] * 2)

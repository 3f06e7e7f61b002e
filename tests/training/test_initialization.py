"""Where weights start: fresh, from SD3, from a whole model, with smaller patches."""

from pathlib import Path

import pytest
import torch
from diffusers import SD3Transformer2DModel
from safetensors.torch import load_file
from torch.nn import functional as F

from temu_vtoff import FeatureExtractor, TryOffTransformer
from temu_vtoff.builtin import resolve
from temu_vtoff.training.initialization import TransformerShape, extractor_from_sd3, load_transformers, new_transformers
from temu_vtoff.training.patches import position_table, with_smaller_patches
from temu_vtoff.training.person_denoiser import PersonDenoiser
from temu_vtoff.tryoff.loading import load_components
from tests.tiny_training import save_tiny_base
from tests.tiny_transformers import SHAPE, C, H, P, T, W, make_extractor, make_generator


def test_fresh_transformers_fit_the_frozen_models(tmp_path):
    components = load_components(save_tiny_base(tmp_path), given={"transformer": None, "transformer_vton": None})
    shape = TransformerShape(sample_size=8, num_layers=2, num_attention_heads=1, attention_head_dim=16)
    extractor, generator = new_transformers(shape, components, FeatureExtractor)
    assert extractor.config.in_channels == 9 and extractor.config.pooled_projection_dim == 16
    assert generator.config.joint_attention_dim == 32 and generator.config.pooled_projection_dim == 16
    reference = extractor(torch.randn(1, 9, 8, 6), torch.randn(1, 16))
    velocity = generator(torch.randn(1, 4, 8, 6), torch.randn(1, 5, 32), torch.randn(1, 16), torch.ones(1), reference)
    assert velocity.sample.shape == (1, 4, 8, 6)


def test_smaller_patches_see_and_tell_what_the_old_ones_would_of_an_enlarged_picture():
    old = make_generator()
    smaller = with_smaller_patches(old, 1)
    assert smaller.config.patch_size == 1 and old.config.patch_size == 2
    for generator in (old, smaller):
        generator.pos_embed.pos_embed.zero_()
    x, others = torch.randn(2, C, H, W), (torch.randn(2, T, 12), torch.randn(2, P), torch.full((2,), 500.0))
    enlarged = old(F.interpolate(x, scale_factor=2, mode="nearest"), *others).sample
    torch.testing.assert_close(smaller(x, *others).sample, F.avg_pool2d(enlarged, 2))


@pytest.mark.parametrize("kind", [FeatureExtractor, PersonDenoiser])
def test_an_extractor_sees_smaller_patches_likewise(kind):
    old = make_extractor(kind)
    smaller = with_smaller_patches(old, 1)
    for extractor in (old, smaller):
        extractor.pos_embed.pos_embed.zero_()
    person, pooled = torch.randn(1, 2 * C + 1, H, W), torch.randn(1, P)
    features, enlarged = smaller(person, pooled), old(F.interpolate(person, scale_factor=2, mode="nearest"), pooled)
    torch.testing.assert_close(list(features.keys), list(enlarged.keys))
    torch.testing.assert_close(list(features.values), list(enlarged.values))


def test_smaller_patches_stand_around_the_old_places():
    old = TryOffTransformer(**SHAPE | {"patch_size": 3, "sample_size": 12, "pos_embed_max_size": 6}, in_channels=C)
    torch.testing.assert_close(position_table(old, old), old.pos_embed.pos_embed)
    smaller = with_smaller_patches(old, 1)
    assert smaller.config.pos_embed_max_size == 12
    tables = [t.pos_embed.cropped_pos_embed(12, 6).unflatten(1, (12 // p, 6 // p)) for t, p in ((old, 3), (smaller, 1))]
    torch.testing.assert_close(tables[1][:, 1::3, 1::3], tables[0])  # the middle of each three is the old place


def test_patches_only_get_smaller_by_division():
    generator = make_generator()
    assert with_smaller_patches(generator, 2) is generator
    with pytest.raises(ValueError, match="--patch_size 4"):
        with_smaller_patches(generator, 4)


@pytest.mark.parametrize("kind", [FeatureExtractor, PersonDenoiser])
def test_sd3_becomes_an_extractor_that_does_not_see_the_new_channels_yet(tmp_path, kind):
    sd3 = SD3Transformer2DModel(
        in_channels=C, out_channels=C, joint_attention_dim=12, caption_projection_dim=16, **SHAPE
    )
    sd3.save_pretrained(tmp_path / "transformer")
    extractor = extractor_from_sd3(kind, tmp_path)
    latents, others, pooled = torch.randn(1, C, H, W), torch.randn(2, 1, C + 1, H, W), torch.randn(1, P)
    seen = [extractor(torch.cat([latents, other], dim=1), pooled) for other in others]
    torch.testing.assert_close(list(seen[0].keys), list(seen[1].keys))
    block = sd3.transformer_blocks[0]
    temb = sd3.time_text_embed(torch.zeros(1), pooled)
    expected = block.attn.to_k(block.norm1(sd3.pos_embed(latents), emb=temb)[0])
    torch.testing.assert_close(seen[0].keys[0], expected)


def test_a_whole_models_own_extractor_is_trained_further():
    extractor, generator = load_transformers(FeatureExtractor, "builtin")
    for model, folder in ((extractor, "transformer_vton"), (generator, "transformer")):
        shipped = load_file(Path(resolve("builtin", "tryoff"), folder, "diffusion_pytorch_model.safetensors"))
        for name, weight in model.state_dict().items():
            torch.testing.assert_close(weight, shipped[name].float(), msg=name)


def test_stage_one_on_a_whole_model_starts_from_the_generators_image_stream():
    denoiser, generator = load_transformers(PersonDenoiser, "builtin")
    torch.testing.assert_close(denoiser.proj_out.weight, generator.proj_out.weight)
    torch.testing.assert_close(
        denoiser.transformer_blocks[-1].attn.to_q.weight, generator.transformer_blocks[-1].attn.to_q.weight
    )

"""Where weights start: fresh, from SD3, from a whole model."""

from pathlib import Path

import pytest
import torch
from diffusers import SD3Transformer2DModel
from safetensors.torch import load_file

from temu_vtoff import FeatureExtractor
from temu_vtoff.builtin import resolve
from temu_vtoff.training.initialization import extractor_from_sd3, load_transformers, new_transformers
from temu_vtoff.training.person_denoiser import PersonDenoiser
from temu_vtoff.training.settings import TransformerShape
from temu_vtoff.tryoff.loading import load_components
from tests.tiny_training import save_tiny_base
from tests.tiny_transformers import SHAPE, C, H, P, W


def test_fresh_transformers_fit_the_frozen_models(tmp_path):
    components = load_components(save_tiny_base(tmp_path), given={"transformer": None, "transformer_vton": None})
    shape = TransformerShape(sample_size=8, num_layers=2, num_attention_heads=1, attention_head_dim=16)
    extractor, generator = new_transformers(shape, components, FeatureExtractor)
    assert extractor.config.in_channels == 9 and extractor.config.pooled_projection_dim == 16
    assert generator.config.joint_attention_dim == 32 and generator.config.pooled_projection_dim == 16
    reference = extractor(torch.randn(1, 9, 8, 6), torch.randn(1, 16))
    velocity = generator(torch.randn(1, 4, 8, 6), torch.randn(1, 5, 32), torch.randn(1, 16), torch.ones(1), reference)
    assert velocity.sample.shape == (1, 4, 8, 6)


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

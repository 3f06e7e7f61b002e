"""What a training writes opens as a pipeline."""

import torch

from temu_vtoff import FeatureExtractor, TryOffPipeline, TryOffTransformer
from temu_vtoff.training.export import Exporter, export_model
from temu_vtoff.training.initialization import add_lora, new_transformers
from temu_vtoff.training.person_denoiser import PersonDenoiser
from temu_vtoff.training.settings import TransformerShape
from temu_vtoff.tryoff.loading import load_components
from tests.tiny_training import save_tiny_base
from tests.tiny_transformers import C, H, P, W, make_extractor


def test_stage_ones_weights_load_as_the_published_extractor_does(tmp_path):
    denoiser = make_extractor(PersonDenoiser)
    export_model(denoiser, tmp_path / "transformer_vton")
    extractor = FeatureExtractor.from_pretrained(tmp_path, subfolder="transformer_vton")
    person, pooled = torch.randn(1, 2 * C + 1, H, W), torch.randn(1, P)
    torch.testing.assert_close(list(extractor(person, pooled).keys), list(denoiser(person, pooled).keys))
    again = PersonDenoiser.from_pretrained(tmp_path, subfolder="transformer_vton")
    times = torch.full((1,), 500.0)
    torch.testing.assert_close(again.denoise(person, pooled, times), denoiser.denoise(person, pooled, times))


def test_exported_weights_open_as_a_pipeline(tmp_path):
    base = save_tiny_base(tmp_path / "base")
    components = load_components(base, given={"transformer": None, "transformer_vton": None})
    shape = TransformerShape(sample_size=8, num_layers=2, num_attention_heads=1, attention_head_dim=16)
    extractor, generator = new_transformers(shape, components, FeatureExtractor)
    export = Exporter({"transformer": generator, "transformer_vton": extractor}, components["scheduler"], torch.float16)
    export(tmp_path / "run")
    pipe = TryOffPipeline.from_pretrained(
        base,
        tmp_path / "run",
        image_encoder_large=base,
        image_encoder_bigG=base,
        feature_extractor=components["feature_extractor"],
    )
    pipe.set_progress_bar_config(disable=True)
    picture, mask = torch.rand(1, 3, 64, 48), torch.ones(1, 1, 64, 48)
    assert pipe(picture, mask, prompt="a shirt", num_inference_steps=2, output_type="pt").images.shape == (1, 3, 64, 48)


def test_lora_is_saved_as_the_pipeline_loads_it(tmp_path):
    base = save_tiny_base(tmp_path / "base")
    components = load_components(base, given={"transformer": None, "transformer_vton": None})
    shape = TransformerShape(sample_size=8, num_layers=2, num_attention_heads=1, attention_head_dim=16)
    extractor, generator = new_transformers(shape, components, FeatureExtractor)
    torch.nn.init.normal_(generator.proj_out.weight)
    torch.nn.init.normal_(generator.transformer_blocks[0].norm1.linear.weight)
    export_model(generator, tmp_path / "plain")
    inputs = (torch.randn(1, 4, 8, 6), torch.randn(1, 5, 32), torch.randn(1, 16), torch.ones(1))
    before = generator(*inputs).sample
    add_lora(generator, rank=2)
    for name, weight in generator.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    Exporter({"transformer": generator}, components["scheduler"])(tmp_path / "run")

    plain = TryOffTransformer.from_pretrained(tmp_path / "plain")
    pipe = TryOffPipeline(**components | {"transformer": plain, "transformer_vton": extractor})
    torch.testing.assert_close(pipe.transformer(*inputs).sample, before)
    pipe.load_lora_weights(tmp_path / "run" / "transformer_lora")
    torch.testing.assert_close(pipe.transformer(*inputs).sample, generator(*inputs).sample)
    assert not torch.allclose(pipe.transformer(*inputs).sample, before)

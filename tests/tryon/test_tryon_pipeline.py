"""The try-on pipeline as its users call it: batches, seeds, sizes, callbacks, saving, mistakes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig
from PIL import Image

from temu_vtoff import FeatureExtractor, PoseGuider, TryOnPipeline, TryOnTransformer
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.tryoff.outputs import NotFiniteError
from tests.golden_checkpoint import GOLDEN as TRYOFF

GOLDEN = Path(__file__).parent.parent / "golden_tryon"
SIZE = (64, 96)
QUICK = {"num_inference_steps": 2, "output_type": "pt"}


@pytest.fixture
def pipe() -> TryOnPipeline:
    pipe = TryOnPipeline.from_pretrained(GOLDEN)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def two() -> dict[str, torch.Tensor]:
    """Two different garments, persons, masks and poses."""
    rng = torch.Generator().manual_seed(3)
    pictures = {name: torch.rand(2, 3, 96, 64, generator=rng) for name in ("garment", "person", "pose")}
    mask = torch.zeros(2, 1, 96, 64)
    mask[0, :, 20:60, 10:50], mask[1, :, 40:90, 5:30] = 1, 1
    return pictures | {"mask": mask}


def seeds(*numbers: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in numbers]


def rows(batch: dict[str, torch.Tensor], first: int, end: int) -> dict[str, torch.Tensor]:
    return {name: x[first:end] for name, x in batch.items()}


@pytest.mark.parametrize("preset", ["exact", "fast", "turbo"])
def test_a_picture_does_not_depend_on_its_neighbours(pipe, two, preset):
    together = pipe(**two, **QUICK, preset=preset, generator=seeds(4, 5)).images
    for number in range(2):
        alone = pipe(**rows(two, number, number + 1), **QUICK, preset=preset, generator=seeds(4 + number)).images
        torch.testing.assert_close(alone[0], together[number], atol=1e-4, rtol=0)
    assert (together[0] - together[1]).abs().max() > 0.01


def test_several_pictures_of_a_pair(pipe, two):
    pair = rows(two, 0, 1)
    both = pipe(**pair, **QUICK, num_images_per_prompt=2, generator=seeds(1, 2)).images
    for number, seed in enumerate((1, 2)):
        one = pipe(**pair, **QUICK, generator=seeds(seed)).images
        torch.testing.assert_close(one[0], both[number], atol=1e-4, rtol=0)


def test_garment_mask_pose_and_person_each_change_the_picture(pipe, two):
    pair = rows(two, 0, 1)
    latents = torch.randn(1, 16, 12, 8, generator=torch.Generator().manual_seed(0))

    def sample(**changes) -> torch.Tensor:
        return pipe(**pair | changes, **QUICK, latents=latents, generator=seeds(0)).images

    plain = sample()
    for name in ("garment", "person", "mask", "pose"):
        assert (sample(**{name: two[name][1:]}) - plain).abs().max() > 1e-3, name
    assert (sample(pose=None) - plain).abs().max() > 1e-3
    hidden = pair["person"].clone()
    hidden[:, :, 25:55, 15:45] = 0.9  # below the mask: nobody sees it
    torch.testing.assert_close(sample(person=hidden), plain, atol=1e-5, rtol=0)


def test_pil_pictures_of_any_shape_are_padded(pipe):
    garment, person = Image.new("RGB", (50, 50), "red"), Image.new("RGB", (200, 96), "green")
    mask = Image.new("L", (200, 96))
    mask.paste(255, (80, 20, 120, 80))
    output = pipe(garment, person, mask, num_inference_steps=1, generator=seeds(0)[0])
    assert output.images[0].size == SIZE == (pipe.working_size.width, pipe.working_size.height)
    wide = pipe(garment, person, mask, width=96, height=64, num_inference_steps=1, output_type="np", return_dict=False)
    assert wide[0].shape == (1, 64, 96, 3) and np.isfinite(wide[0]).all()


def test_callbacks_see_the_clean_prediction_and_can_stop(pipe, two):
    seen = []

    def look(pipeline, step, timestep, tensors):
        seen.append(tensors["pred_original_sample"].shape)
        pipeline._interrupt = step == 1
        return {"latents": tensors["latents"]}

    pipe(**two, num_inference_steps=5, output_type="latent", callback_on_step_end=look, generator=seeds(1, 2))
    assert seen == [(2, 16, 12, 8)] * 2
    with pytest.raises(ValueError, match="there are latents, pred_original_sample"):
        pipe(**two, **QUICK, callback_on_step_end=look, callback_on_step_end_tensor_inputs=["prompt_embeds"])


def test_saved_and_loaded_it_gives_the_same(pipe, two, tmp_path):
    pipe.save_pretrained(tmp_path)
    assert not list(tmp_path.rglob("*.bin"))
    again = TryOnPipeline.from_pretrained(tmp_path, device_map="cpu")
    again.set_progress_bar_config(disable=True)
    ours, theirs = (one(**two, **QUICK, generator=seeds(1, 2)).images for one in (pipe, again))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_a_variant_is_saved_and_loaded(pipe, two, tmp_path):
    pipe.save_pretrained(tmp_path, variant="bf16")
    assert (tmp_path / "pose_guider" / "diffusion_pytorch_model.bf16.safetensors").is_file()
    again = TryOnPipeline.from_pretrained(tmp_path, variant="bf16")
    again.set_progress_bar_config(disable=True)
    ours, theirs = (one(**two, **QUICK, generator=seeds(1, 2)).images for one in (pipe, again))
    assert torch.equal(ours, theirs)


def test_adapters_are_saved_and_loaded(pipe, two, tmp_path):
    def sample(pipe: TryOnPipeline) -> torch.Tensor:
        pipe.set_progress_bar_config(disable=True)
        return pipe(**rows(two, 0, 1), **QUICK, generator=seeds(1)).images

    plain = sample(pipe)
    for name in ("transformer_garm", "transformer_vton"):
        config = LoraConfig(r=4, lora_alpha=12, target_modules=["to_k", "to_v"], init_lora_weights=False)
        getattr(pipe, name).add_adapter(config, adapter_name="style")
    adapted = sample(pipe)
    assert (adapted - plain).abs().max() > 0.01
    pipe.save_pretrained(tmp_path)
    again = TryOnPipeline.from_pretrained(tmp_path)
    torch.testing.assert_close(sample(again), adapted)
    again.transformer_garm.delete_adapters("style")
    again.transformer_vton.delete_adapters("style")
    torch.testing.assert_close(sample(again), plain)
    pipe.transformer_vton.fuse_lora()
    with pytest.raises(ValueError, match=r"adapters of transformer_garm, transformer_vton can't be saved.*not fused"):
        pipe.save_pretrained(tmp_path)


@pytest.mark.parametrize("component", ["transformer_garm", "transformer_vton", "pose_guider", "vae"])
def test_a_single_component_may_have_another_precision(pipe, two, component):
    plain = pipe(**rows(two, 0, 1), generator=seeds(5), **QUICK).images
    getattr(pipe, component).to(torch.bfloat16)
    assert 0 < (pipe(**rows(two, 0, 1), generator=seeds(5), **QUICK).images - plain).abs().max() < 0.05


def test_four_layers_and_another_shape_train_and_run(pipe, two):
    shape = {"sample_size": 8, "num_layers": 4, "attention_head_dim": 4, "num_attention_heads": 2}
    shape |= {"pooled_projection_dim": 64, "pos_embed_max_size": 12}
    garm, vton = FeatureExtractor(in_channels=16, **shape), TryOnTransformer(**shape)
    small = TryOnPipeline(garm, vton, pipe.scheduler, pipe.vae, None, pipe.image_encoder_large, pipe.image_encoder_bigG)
    small.set_progress_bar_config(disable=True)
    given = {name: x for name, x in two.items() if name != "pose"}
    assert small(**given, **QUICK, generator=seeds(1, 2)).images.shape == (2, 3, 96, 64)
    reference = garm(torch.randn(2, 16, 8, 6), torch.randn(2, 64))
    vton.enable_gradient_checkpointing()
    vton(torch.randn(2, 33, 8, 6), torch.randn(2, 64), torch.tensor([1.0, 500.0]), reference).sample.sum().backward()
    assert all(p.grad is not None for p in vton.transformer_blocks.parameters())
    assert garm.transformer_blocks[0].attn.to_k.weight.grad.abs().sum() > 0


def test_mistakes_are_one_sentence(pipe, two, tmp_path):
    without = TryOnPipeline(**{**pipe.components, "pose_guider": None})
    with pytest.raises(ValueError, match="no pose guider"):
        without(**two, **QUICK)
    no_encoders = TryOnPipeline(**{**pipe.components, "image_encoder_large": None})
    with pytest.raises(ValueError, match="give garment_embeds"):
        no_encoders(**two, **QUICK)
    for changes, message in (
        ({"mask": two["mask"][:1]}, "mask holds 1 for 2"),
        ({"garment": two["garment"] * 3}, "must lie in"),
        ({"width": 50}, "width"),
        ({"latents": torch.zeros(1, 16, 4, 4)}, "latents must be"),
        ({"generator": seeds(1)}, "2 pictures need 2 generators"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt"),
        ({"garment": "garment.jpg"}, "got str"),
        ({"pose": 5}, "got int"),
        ({"garment_embeds": 5}, "garment_embeds is 5; give a tensor"),
        ({"generator": 5}, "generator is 5; give a torch.Generator"),
    ):
        with pytest.raises(ValueError, match=message):
            pipe(**two | QUICK | changes)
    for source, message in ((TRYOFF, "holds a try-off model"), (tmp_path, "lacks")):
        with pytest.raises(CheckpointError, match=message):
            TryOnPipeline.from_pretrained(source)
    with pytest.raises(TypeError, match="no component text_encoder"):
        TryOnPipeline.from_pretrained(GOLDEN, text_encoder=None)
    with pytest.raises(ValueError, match="device_map is 'balanced'; give one device"):
        TryOnPipeline.from_pretrained(GOLDEN, device_map="balanced")
    with torch.no_grad():
        pipe.transformer_vton.proj_out.bias[0] = float("nan")
    with pytest.raises(NotFiniteError):
        pipe(**two, **QUICK)


def test_a_built_in_model_shares_vae_and_image_encoders_with_try_off(pipe, two, tmp_path, monkeypatch):
    for part, names in (("tryon", ("transformer_garm", "transformer_vton", "pose_guider", "scheduler")),
                        ("tryoff", ("vae", "image_encoder_large", "image_encoder_bigG"))):  # fmt: skip
        (tmp_path / part).mkdir()
        for name in names:
            (tmp_path / part / name).symlink_to(GOLDEN / name)
    pipe.feature_extractor.save_pretrained(tmp_path / "tryoff" / "feature_extractor")
    monkeypatch.setattr("temu_vtoff.builtin.FOLDER", tmp_path)
    builtin = TryOnPipeline.from_pretrained("builtin")
    builtin.set_progress_bar_config(disable=True)
    ours, theirs = (one(**two, **QUICK, generator=seeds(1, 2)).images for one in (builtin, pipe))
    assert torch.equal(ours, theirs)


def test_a_damaged_pose_guider_is_named(tmp_path):
    for name, content in (("empty", b""), ("text", b"no pickle")):
        (tmp_path / name / "pose_guider").mkdir(parents=True)
        (tmp_path / name / "pose_guider" / "diffusion_pytorch_model.bin").write_bytes(content)
        with pytest.raises(CheckpointError, match="pose guider"):
            PoseGuider.from_pretrained(tmp_path / name, subfolder="pose_guider")
    assert TryOnPipeline.from_pretrained(GOLDEN, pose_guider=None).pose_guider is None

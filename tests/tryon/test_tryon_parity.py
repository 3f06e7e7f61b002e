"""Try-on gives the numbers of the authors' code on a tiny checkpoint in FitDiT's layout; see tests/golden_tryon."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from temu_vtoff import FeatureExtractor, PoseGuider, ReferenceFeatures, TryOnPipeline, TryOnTransformer

GOLDEN = Path(__file__).parent.parent / "golden_tryon"
PART, WHOLE = 1e-4, 1e-3


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "golden.safetensors")


@pytest.fixture(scope="module")
def inputs(golden) -> dict[str, torch.Tensor]:
    """What the pipeline is called with."""
    given = {name.removeprefix("pipeline.in."): x for name, x in golden.items() if name.startswith("pipeline.in.")}
    return given | {"garment_embeds": golden["pipeline.mid.garment_embeds"]}


def equal(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


@torch.no_grad()
def test_garment_extractor(golden):
    extractor = FeatureExtractor.from_pretrained(GOLDEN, subfolder="transformer_garm")
    reference = extractor(golden["garment.in.hidden_states"], golden["garment.in.pooled_projections"])
    assert len(reference) == 3
    for number, (key, value) in enumerate(zip(reference.keys, reference.values, strict=True)):
        equal(key, golden[f"garment.out.key.{number}"], PART)
        equal(value, golden[f"garment.out.value.{number}"], PART)


@torch.no_grad()
def test_pose_guider_from_the_published_pickle_and_saved_again(golden, tmp_path):
    guider = PoseGuider.from_pretrained(GOLDEN, subfolder="pose_guider")
    equal(guider(golden["pose.in.image"]), golden["pose.out.tokens"], PART)
    guider.save_pretrained(tmp_path / "pose_guider")
    assert {path.name for path in (tmp_path / "pose_guider").iterdir()} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
    }
    again = PoseGuider.from_pretrained(tmp_path, subfolder="pose_guider")
    assert torch.equal(again(golden["pose.in.image"]), guider(golden["pose.in.image"]))


@pytest.mark.parametrize("name, posed", [("sample", True), ("sample_without_pose", False)])
@torch.no_grad()
def test_denoiser(golden, name, posed):
    denoiser = TryOnTransformer.from_pretrained(GOLDEN, subfolder="transformer_vton")
    keys, values = ([golden[f"garment.out.{part}.{i}"] for i in range(3)] for part in ("key", "value"))
    given = {part: golden[f"denoiser.in.{part}"] for part in ("hidden_states", "pooled_projections", "timestep")}
    pose = golden["pose.out.tokens"] if posed else None
    velocity = denoiser(**given, reference=ReferenceFeatures(keys, values), pose=pose).sample
    equal(velocity, golden[f"denoiser.out.{name}"], PART)
    modulations = denoiser.modulations(given.pop("timestep"), given.pop("pooled_projections"))
    beforehand = denoiser(**given, modulations=modulations, reference=ReferenceFeatures(keys, values), pose=pose).sample
    equal(beforehand, velocity, 1e-6)


@pytest.mark.parametrize("name, scale", [("guided", 2.0), ("unguided", 1.0)])
def test_sampling(golden, inputs, name, scale):
    pipe = TryOnPipeline.from_pretrained(GOLDEN)
    pipe.set_progress_bar_config(disable=True)
    options = inputs | {"num_inference_steps": 4, "guidance_scale": scale}
    seed = torch.Generator().manual_seed
    latents = pipe(**options, output_type="latent", generator=seed(0)).images
    equal(latents, golden[f"pipeline.out.{name}.latents"], WHOLE)
    image = pipe(**options, output_type="pt", generator=seed(0)).images
    equal(image, golden[f"pipeline.out.{name}.image"], WHOLE)


def test_the_image_encoders_see_the_garment_as_theirs_do(golden, inputs):
    pipe = TryOnPipeline.from_pretrained(GOLDEN)
    embeds = pipe.encode_image(inputs["garment"])  # resizing differs a little between image libraries
    equal(embeds, golden["pipeline.mid.garment_embeds"], 5e-3)

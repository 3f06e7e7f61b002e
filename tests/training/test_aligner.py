"""The alignment with a vision transformer: grids of any size, its loss, and where its gradient goes."""

import pytest
import torch
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    ViTConfig,
    ViTModel,
)

from temu_vtoff import TryOffTransformer
from temu_vtoff.builtin import resolve
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.training.aligner import Aligner, VisionFeatures
from temu_vtoff.training.objectives import GeneratorObjective
from temu_vtoff.training.settings import FlowSettings
from tests.tiny_transformers import C, H, W, make_batch, make_extractor, make_generator, rngs

TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
DINO = {"hidden_size": 16, "mlp_ratio": 2, "num_hidden_layers": 1, "num_attention_heads": 2}


def vits() -> list[torch.nn.Module]:
    torch.manual_seed(0)
    return [
        Dinov2Model(Dinov2Config(image_size=28, patch_size=7, **DINO)),
        Dinov2WithRegistersModel(Dinov2WithRegistersConfig(image_size=28, patch_size=7, num_register_tokens=3, **DINO)),
        ViTModel(ViTConfig(image_size=32, patch_size=8, **TINY), add_pooling_layer=False),
        CLIPVisionModelWithProjection(CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=8, **TINY)),
    ]


@pytest.mark.parametrize("number", range(4))
def test_any_vit_gives_its_grid_of_patch_tokens(tmp_path, number):
    vit = vits()[number]
    vit.save_pretrained(tmp_path)
    source = VisionFeatures.from_pretrained(tmp_path)
    pictures = torch.rand(2, 3, 64, 48)
    assert source(pictures).shape == (2, 16, 16)
    assert source.side == 4 and source.width == 16
    assert not any(p.requires_grad for p in source.parameters())

    finer = VisionFeatures.from_pretrained(tmp_path, size=2 * source.size)
    assert finer.side == 8 and finer(pictures).shape == (2, 64, 16)


def test_patch_tokens_are_those_of_the_patches_in_reading_order():
    source = VisionFeatures(vits()[0])
    picture = torch.rand(1, 3, 28, 28)
    changed = picture.clone()
    changed[:, :, 7:14, 14:21] = 1 - changed[:, :, 7:14, 14:21]  # row 1, column 2
    moved = (source(picture) - source(changed)).norm(dim=-1)[0]  # (G,)
    assert moved.argmax() == 1 * 4 + 2


def test_no_such_vit_names_the_argument():
    with pytest.raises(CheckpointError, match="align_model"):
        VisionFeatures.from_pretrained("no/where")


def make_aligner(generator: TryOffTransformer, block: int = 1, side: int = 3) -> Aligner:
    torch.manual_seed(2)
    return Aligner(generator, block, side, width=10, hidden_channels=32)


def test_tokens_of_any_latents_reach_the_vits_grid():
    aligner = make_aligner(make_generator())
    for rows, columns in ((4, 3), (2, 5)):
        tokens = torch.randn(2, rows * columns, 16)
        assert aligner(tokens, (2 * rows, 2 * columns)).shape == (2, 9, 10)


def test_the_loss_is_minus_one_for_the_same_directions_and_one_for_opposite_ones():
    generator = make_generator()
    aligner = make_aligner(generator)
    tokens = torch.randn(2, H * W // 4, 16)

    def loss(scale: float) -> float:
        aligner._keep(None, (), (None, tokens))
        return aligner.loss(scale * aligner(tokens, (H, W)).detach(), (H, W)).item()

    assert loss(3.0) == pytest.approx(-1)
    assert loss(-0.5) == pytest.approx(1)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_alignment_trains_projector_and_the_blocks_up_to_its_own(checkpointing):
    extractor, generator = make_extractor().requires_grad_(False), make_generator()
    if checkpointing:
        generator.enable_gradient_checkpointing()
    objective = GeneratorObjective(extractor, generator, FlowSettings(), make_aligner(generator), align_weight=0.5)
    batch = make_batch()
    batch = type(batch)(**vars(batch) | {"garment_tokens": torch.randn(2, 9, 10)})
    losses = objective(batch, rngs(0))
    assert losses["loss"].item() == pytest.approx((losses["flow"] + 0.5 * losses["align"]).item())
    losses["align"].backward()
    assert all(p.grad is not None for p in objective.aligner.parameters())
    assert generator.transformer_blocks[0].ff.net[0].proj.weight.grad.any()
    assert all(p.grad is None for p in generator.transformer_blocks[1].parameters())
    assert all(p.grad is None for p in extractor.parameters())


def test_the_hook_changes_no_output():
    inputs = (torch.randn(1, C, H, W), torch.randn(1, 5, 12), torch.randn(1, 16), torch.ones(1))
    plain, hooked = make_generator(), make_generator()
    make_aligner(hooked)
    torch.testing.assert_close(hooked(*inputs).sample, plain(*inputs).sample)


def test_a_block_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="blocks 1 to 2, not 3"):
        make_aligner(make_generator(), block=3)


def test_a_vit_saved_in_half_precision_goes_under_bf16_autocast():
    vit = VisionFeatures.from_pretrained(resolve("builtin", "tryoff"), subfolder="image_encoder_large")
    with torch.autocast("cpu", torch.bfloat16):
        tokens = vit(torch.rand(1, 3, 64, 48))
    assert tokens.shape == (1, vit.side**2, vit.width) and tokens.isfinite().all()

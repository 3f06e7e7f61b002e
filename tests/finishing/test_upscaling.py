"""Upscalers of both libraries, tiny ones with random weights."""

import numpy as np
import pytest
from PIL import Image

from temu_vtoff.finishing import Finish, finish_picture
from temu_vtoff.finishing.upscaling import load_upscaler
from temu_vtoff.hub.errors import CheckpointError


def save_swin(folder) -> None:
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution, Swin2SRImageProcessor

    config = Swin2SRConfig(
        image_size=16, embed_dim=12, depths=[1], num_heads=[2], window_size=4, upscale=2, upsampler="pixelshuffle"
    )
    Swin2SRForImageSuperResolution(config).save_pretrained(folder)
    Swin2SRImageProcessor().save_pretrained(folder)


def save_diffusion(folder) -> None:
    from diffusers import DDIMScheduler, LDMSuperResolutionPipeline, UNet2DModel, VQModel

    blocks = {"block_out_channels": (8, 8), "layers_per_block": 1, "norm_num_groups": 4}
    unet = UNet2DModel(
        in_channels=6,
        out_channels=3,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        **blocks,
    )
    vqvae = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=3,
        **blocks,
    )
    LDMSuperResolutionPipeline(vqvae=vqvae, unet=unet, scheduler=DDIMScheduler()).save_pretrained(folder)


@pytest.mark.parametrize("save", [save_swin, save_diffusion])
def test_a_model_enlarges_and_the_rest_is_resampled(tmp_path, save):
    save(tmp_path)
    upscaler = load_upscaler(str(tmp_path))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 32, 3)).astype(np.uint8))
    assert upscaler(picture).size == (64, 128)
    finish = Finish(upscale=3, upscaler=str(tmp_path))
    assert finish_picture(picture, finish, upscaler=upscaler).size == (96, 192)


def test_an_upscaler_that_is_none_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="the upscaler"):
        load_upscaler(str(tmp_path))

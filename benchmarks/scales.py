"""The pipelines that are measured: the built-in model, and larger ones with random weights, which suffice for time and
memory.
"""

import torch
from diffusers import AutoencoderKL
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from temu_vtoff import FeatureExtractor, TryOffPipeline, TryOffTransformer

REDUCED = {"sample_size": 64, "pos_embed_max_size": 64, "num_layers": 8, "num_attention_heads": 8}  # 768 tokens
MEDIUM = {"sample_size": 128, "pos_embed_max_size": 192, "num_layers": 24, "num_attention_heads": 24}  # 3072 tokens


def build(scale: str, device: torch.device, dtype: torch.dtype) -> TryOffPipeline:
    """A pipeline of one of `benchmarks.SCALES` with the published guidance, not placed on the device yet.

    The reduced one has the built-in model's VAE and encoders; the published size has its own, but for the tokenizers.
    """
    pipe = TryOffPipeline.from_pretrained("builtin", torch_dtype=dtype, negative_reference=True)
    pipe.set_progress_bar_config(disable=True)
    if scale == "builtin":
        return pipe
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            parts = _transformers(REDUCED, text=128, pooled=128) if scale == "sd3-reduced" else _published_parts()
    finally:
        torch.set_default_dtype(default)
    parts = pipe.components | {name: part.eval() for name, part in parts.items()}
    larger = TryOffPipeline(**parts, rescale_clip_input_twice=pipe.config.rescale_clip_input_twice)
    larger.set_progress_bar_config(disable=True)
    if scale == "sd3-medium":
        larger.tokenizer_max_length = 77
    return larger


def _transformers(shape: dict[str, int], text: int, pooled: int) -> dict[str, torch.nn.Module]:
    width = 64 * shape["num_attention_heads"]
    both = shape | {"attention_head_dim": 64, "patch_size": 2, "pooled_projection_dim": pooled}
    text_shape = {"joint_attention_dim": text, "caption_projection_dim": width}
    return {
        "transformer": TryOffTransformer(in_channels=16, out_channels=16, **text_shape, **both),
        "transformer_vton": FeatureExtractor(in_channels=33, **both),
    }


def _published_parts() -> dict[str, torch.nn.Module]:
    def shape(width: int, layers: int, heads: int, projection: int) -> dict[str, int]:
        return {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "projection_dim": projection,
        }

    vision = shape(1024, 24, 16, 768) | {"patch_size": 14}
    big_vision = shape(1664, 48, 16, 1280) | {"patch_size": 14, "intermediate_size": 8192}
    t5 = {"d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_layers": 24, "num_heads": 64, "vocab_size": 32128}
    channels = (128, 256, 512, 512)
    return _transformers(MEDIUM, text=4096, pooled=2048) | {
        "vae": AutoencoderKL(
            block_out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
            layers_per_block=2,
            latent_channels=16,
            scaling_factor=1.5305,
            shift_factor=0.0609,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        "text_encoder": CLIPTextModelWithProjection(CLIPTextConfig(**shape(768, 12, 12, 768))),
        "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**shape(1280, 32, 20, 1280))),
        "text_encoder_3": T5EncoderModel(T5Config(feed_forward_proj="gated-gelu", **t5)),
        "image_encoder_large": CLIPVisionModelWithProjection(CLIPVisionConfig(**vision)),
        "image_encoder_bigG": CLIPVisionModelWithProjection(CLIPVisionConfig(**big_vision)),
    }

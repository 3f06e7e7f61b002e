"""Where the transformers' weights start: fresh, from SD3, or from an earlier run; trained whole or with LoRA."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from peft import LoraConfig

from temu_vtoff.builtin import resolve
from temu_vtoff.hub.errors import CheckpointError, explain_loading
from temu_vtoff.hub.sources import IMAGE_ENCODERS
from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.training.settings import TransformerShape
from temu_vtoff.tryoff.loading import LoadingOptions, load_components

LORA_TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"]


def load_frozen(base: str, encoders: dict[str, str | None], torch_dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """`TryOffPipeline`'s components without the transformers, which are None.

    Args:
        base: Hub id, folder or "builtin".
        encoders: Image encoders by name; None takes the base's own, or the published one if the base has none.
        torch_dtype: Dtype of all these models, none of which is trained.
    """
    sources = encoder_sources(resolve(base, "tryoff"), encoders)
    given = {name: where for name, where in sources.items() if where is not None}
    return load_components(
        base,
        given={"transformer": None, "transformer_vton": None, **given},
        options=LoadingOptions(dtype=torch_dtype),
    )


def encoder_sources(base: str, encoders: dict[str, str | None]) -> dict[str, str | None]:
    """Hub id or folder of each image encoder; None where the base has its own.

    Args:
        base: Hub id or folder.
        encoders: As for `load_frozen`.
    """

    def source(name: str, where: str | None) -> str | None:
        own = where is None and Path(base, name).is_dir()
        return IMAGE_ENCODERS[name] if where is None and not own else where

    return {name: source(name, where) for name, where in encoders.items()}


def load_transformers(
    extractor_class: type[FeatureExtractor], base: str, tryoff: str | None = None, extractor_source: str | None = None
) -> tuple[FeatureExtractor, TryOffTransformer]:
    """Both transformers with trained weights: SD3's, an earlier run's, or the published ones.

    Args:
        extractor_class: `FeatureExtractor`, or `PersonDenoiser` for stage 1.
        base: SD3, or a whole model: a folder that also holds `transformer_vton/`, or "builtin". Stage 1 uses SD3's part
            of it, since an exported extractor lacks what only denoising needs.
        tryoff: Holds `transformer/` and `transformer_vton/`; takes precedence over the base.
        extractor_source: Holds `transformer_vton/`; takes precedence over both.
    """
    source = resolve(base if tryoff is None else tryoff, "tryoff")
    generator = TryOffTransformer.from_pretrained(source, subfolder="transformer")
    if extractor_source is not None:
        source = resolve(extractor_source, "tryoff")
    whole = extractor_class is FeatureExtractor and Path(source, "transformer_vton").is_dir()
    if tryoff is None and extractor_source is None and not whole:
        return extractor_from_sd3(extractor_class, source), generator
    return extractor_class.from_pretrained(source, subfolder="transformer_vton"), generator


def new_transformers(
    shape: TransformerShape, components: dict[str, Any], extractor_class: type[FeatureExtractor]
) -> tuple[FeatureExtractor, TryOffTransformer]:
    """Both transformers with fresh weights; the widths of latents and embeddings follow from the frozen components.

    The weights are initialised by PyTorch. DiT's initialisation, with gates at zero, learned more slowly: at the
    built-in model's shape the validation loss at t = 0.3 was 1.06 after 200 steps at learning rate 2e-3, against 0.81.

    Args:
        components: `vae`, `text_encoder`, `text_encoder_2`, `text_encoder_3`, `image_encoder_large`,
            `image_encoder_bigG`.
        extractor_class: `FeatureExtractor`, or `PersonDenoiser` for stage 1.
    """
    channels = components["vae"].config.latent_channels
    clip_text = [components[name].config for name in ("text_encoder", "text_encoder_2")]
    clip_vision = [components[name].config for name in ("image_encoder_large", "image_encoder_bigG")]
    t5, hidden = components.get("text_encoder_3"), sum(config.hidden_size for config in clip_text)
    common = {k: v for k, v in vars(shape).items() if k != "qk_norm"}
    extractor = extractor_class(
        in_channels=2 * channels + 1,
        pooled_projection_dim=sum(config.projection_dim for config in clip_vision),
        **common,
    )
    generator = TryOffTransformer(
        in_channels=channels,
        out_channels=channels,
        joint_attention_dim=t5.config.d_model if t5 is not None else hidden,
        caption_projection_dim=shape.num_attention_heads * shape.attention_head_dim,
        pooled_projection_dim=sum(config.projection_dim for config in clip_text),
        qk_norm=shape.qk_norm,
        **common,
    )
    return extractor, generator


def extractor_from_sd3(
    extractor_class: type[FeatureExtractor], name_or_path: str | Path, **place: str
) -> FeatureExtractor:
    """The extractor with SD3's image stream; the patch embedding's new input channels start at zero.

    Args:
        extractor_class: `FeatureExtractor`, or `PersonDenoiser` for stage 1.
        name_or_path: Hub id or folder of SD3, with `transformer/`.
        place: `revision` or `variant`.

    Raises:
        CheckpointError: It can't be loaded, or is not SD3.
    """
    with explain_loading(name_or_path, "SD3's transformer", "pretrained_model_name_or_path"):
        sd3 = SD3Transformer2DModel.from_pretrained(name_or_path, subfolder="transformer", **place)
    names = ("sample_size", "patch_size", "num_layers", "attention_head_dim", "num_attention_heads")
    config = {name: sd3.config[name] for name in (*names, "pooled_projection_dim", "pos_embed_max_size")}
    extractor = extractor_class(in_channels=2 * sd3.config.in_channels + 1, **config)

    weights = sd3.state_dict()
    weights["pos_embed.proj.weight"] = widen_patch_embedding(
        weights["pos_embed.proj.weight"], extractor.config.in_channels
    )
    missing, surplus = extractor.load_state_dict(weights, strict=False)
    unneeded = re.compile("|".join([*extractor.unneeded_checkpoint_keys, r"transformer_blocks\.\d+\.attn\.add_"]))
    surplus = [key for key in surplus if not unneeded.match(key)]
    if missing or surplus:
        raise CheckpointError(f"{name_or_path} is not an SD3 transformer: {', '.join([*missing, *surplus][:3])} …")
    return extractor


def widen_patch_embedding(weight: torch.Tensor, in_channels: int) -> torch.Tensor:
    """(D, C, p, p) -> (D, in_channels, p, p), zeros for the new channels."""
    wide = weight.new_zeros(weight.shape[0], in_channels, *weight.shape[2:])
    wide[:, : weight.shape[1]] = weight
    return wide


def add_lora(generator: TryOffTransformer, rank: int, alpha: int | None = None) -> None:
    """Freezes the generator and adds trainable low-rank adapters to its attentions (peft).

    Args:
        alpha: The adapters' scale is alpha / rank; None takes the rank.
    """
    generator.requires_grad_(False)
    generator.add_adapter(
        LoraConfig(
            r=rank,
            lora_alpha=alpha if alpha is not None else rank,
            init_lora_weights="gaussian",
            target_modules=LORA_TARGETS,
        )
    )

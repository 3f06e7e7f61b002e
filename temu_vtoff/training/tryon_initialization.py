"""Where the weights of try-on's models start: fresh, from SD3, from a try-off model, or from an earlier run.

Letters: C latent channels, D width, p patch size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from temu_vtoff.builtin import resolve
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.hub.sources import IMAGE_ENCODERS, PUBLISHED_TRYON
from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.models.pose_guider import PUBLISHED_CHANNELS, READS, PoseGuider
from temu_vtoff.models.tryon_transformer import TryOnTransformer
from temu_vtoff.training.initialization import encoder_sources, extractor_from_sd3, widen_patch_embedding
from temu_vtoff.training.settings import TransformerShape
from temu_vtoff.tryoff.loading import LoadingOptions, load_component

SMALL_WIDTH = 512  # narrower denoisers get a pose guider of few channels
SMALL_CHANNELS = (8, 16, 32, 64)
_SHAPE = ("sample_size", "patch_size", "num_layers", "attention_head_dim", "num_attention_heads", "pos_embed_max_size")
Models = tuple[FeatureExtractor, TryOnTransformer, PoseGuider]


def load_frozen(base: str, encoders: dict[str, str | None], torch_dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """`TryOnPipeline`'s components that are not trained.

    Args:
        base: Hub id, folder or "builtin", of SD3, a try-off or a try-on model.
        encoders: Image encoders by name; None takes the base's own, or the published one if the base has none.
        torch_dtype: Their dtype.
    """
    base, options = resolve(base, "tryoff"), LoadingOptions(dtype=torch_dtype)
    places = {name: (base, name) for name in ("vae", "scheduler")}
    for name, where in encoder_sources(base, encoders).items():
        places[name] = (base, name) if where is None else (where, None)
    if (Path(base) / "feature_extractor").is_dir():
        places["feature_extractor"] = (base, "feature_extractor")
    return {name: load_component(name, where, subfolder, options) for name, (where, subfolder) in places.items()}


def load_models(base: str, tryon: str | None = None) -> Models:
    """Extractor, denoiser and pose guider with trained weights.

    Args:
        base: FitDiT's or another try-on model; else SD3 or a whole try-off model, and "builtin".
        tryon: A try-on model or an earlier run's folder; takes precedence.

    Raises:
        CheckpointError: It can't be loaded, or is none of these.
    """
    source = resolve(base if tryon is None else tryon, "tryoff")
    if tryon is None and source != PUBLISHED_TRYON and not (Path(source) / "transformer_garm").is_dir():
        return models_from_sd3(source)
    extractor = FeatureExtractor.from_pretrained(source, subfolder="transformer_garm")
    denoiser = TryOnTransformer.from_pretrained(source, subfolder="transformer_vton")
    return extractor, denoiser, PoseGuider.from_pretrained(source, subfolder="pose_guider")


def models_from_sd3(source: str, reads: str = READS[0]) -> Models:
    """Extractor and denoiser with the image stream of SD3, or of a try-off model's generator and extractor.

    The garment's latents enter where the person's did. The denoiser's further channels, the garment's embedding, which
    enters where the caption's did, and the pose start at zero.

    Args:
        source: Hub id or folder with `transformer/`; a folder may also hold `transformer_vton/`.
        reads: What the new pose guider reads.

    Raises:
        CheckpointError: It can't be loaded, or is not SD3.
    """
    generator = TryOffTransformer.from_pretrained(source, subfolder="transformer")
    channels = generator.config.in_channels
    if (Path(source) / "transformer_vton").is_dir():
        read = FeatureExtractor.from_pretrained(source, subfolder="transformer_vton")
    else:
        read = extractor_from_sd3(FeatureExtractor, source)
    shape = {name: generator.config[name] for name in _SHAPE} | {
        "pooled_projection_dim": read.config.pooled_projection_dim
    }
    extractor = FeatureExtractor(in_channels=channels, **shape)
    weights = read.state_dict()
    weights["pos_embed.proj.weight"] = weights["pos_embed.proj.weight"][:, :channels]
    extractor.load_state_dict(weights)

    denoiser = TryOnTransformer(in_channels=2 * channels + 1, out_channels=channels, **shape)
    weights, own = generator.state_dict(), denoiser.state_dict()
    weights["pos_embed.proj.weight"] = widen_patch_embedding(weights["pos_embed.proj.weight"], 2 * channels + 1)
    for name in [name for name in own if name.startswith("time_text_embed.text_embedder.")]:
        weights[name] = own[name]  # of another width, perhaps
    missing, _ = denoiser.load_state_dict({name: weights[name] for name in own if name in weights}, strict=False)
    if missing:
        raise CheckpointError(f"{source} is not an SD3 transformer: {', '.join(missing[:3])} …")
    nn.init.zeros_(denoiser.time_text_embed.text_embedder.linear_2.weight)
    nn.init.zeros_(denoiser.time_text_embed.text_embedder.linear_2.bias)
    return extractor, denoiser, new_pose_guider(denoiser, reads)


def new_models(shape: TransformerShape, components: dict[str, Any]) -> Models:
    """All with fresh weights; the widths of latents and embeddings follow from the frozen components."""
    channels = components["vae"].config.latent_channels
    common = {name: value for name, value in vars(shape).items() if name != "qk_norm"}
    common["pooled_projection_dim"] = sum(components[name].config.projection_dim for name in IMAGE_ENCODERS)
    extractor = FeatureExtractor(in_channels=channels, **common)
    denoiser = TryOnTransformer(in_channels=2 * channels + 1, out_channels=channels, **common)
    return extractor, denoiser, new_pose_guider(denoiser)


def new_pose_guider(denoiser: TryOnTransformer, reads: str = READS[0]) -> PoseGuider:
    """A pose guider that adds nothing yet; `reads` as in its configuration."""
    width = denoiser.config.num_attention_heads * denoiser.config.attention_head_dim
    guider = PoseGuider(
        block_out_channels=SMALL_CHANNELS if width < SMALL_WIDTH else PUBLISHED_CHANNELS,
        out_channels=width,
        in_channels=3,
        patch_size=denoiser.config.patch_size,
        reads=reads,
    )
    nn.init.zeros_(guider.out.weight)
    nn.init.zeros_(guider.out.bias)
    return guider

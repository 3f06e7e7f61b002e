"""What the transformers are conditioned on: the person's embedding, latents (z - shift) x scale and reference features
(arXiv 2505.21062, section 3). Each function is given the models it runs.

Letters: B photos, n pictures of each, C latent channels (16), H W picture size, h w latent size, P pooled width.
"""

from collections.abc import Sequence

import torch
from diffusers import AutoencoderKL
from diffusers.utils.torch_utils import randn_tensor
from torch.nn import functional as F
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from temu_vtoff.errors import check_kind
from temu_vtoff.models.feature_extractor import FeatureExtractor, ReferenceFeatures

TEXT_TOKENS = 77  # most tokens of CLIP and of T5: the published model was trained with T5 cut to CLIP's length

Generators = torch.Generator | Sequence[torch.Generator]


def encode_image(
    encoders: Sequence[CLIPVisionModelWithProjection],
    processor: CLIPImageProcessor,
    image: torch.Tensor,
    rescale_twice: bool,
    device: torch.device | None = None,
) -> torch.Tensor:
    """The photos' pooled embeddings by both vision encoders.

    Args:
        encoders: CLIP-L, CLIP-bigG.
        processor: Resizes and normalises for both.
        image: (B, 3, H, W) in [0, 1].
        rescale_twice: Divide by 255 once more, as the release does.
        device: Device that the encoders run on; by default that of the first encoder.

    Returns:
        (B, P), CLIP-L first.
    """
    pixel_values = processor(
        images=list(image.float().cpu()),
        do_rescale=rescale_twice,  # the pictures are in [0, 1] already
        return_tensors="pt",
    ).pixel_values  # (B, 3, 224, 224)
    pixel_values = pixel_values.to(encoders[0].device if device is None else device, encoders[0].dtype)
    return torch.cat([encoder(pixel_values).image_embeds for encoder in encoders], dim=-1)


def scale_latents(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """The VAE's latents as the transformers expect them."""
    return (latents - vae.config.shift_factor) * vae.config.scaling_factor


def unscale_latents(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """The inverse of `scale_latents`."""
    return latents / vae.config.scaling_factor + vae.config.shift_factor


def latent_moments(
    vae: AutoencoderKL, image: torch.Tensor, device: torch.device | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of the latents of pictures (B, 3, H, W) in [0, 1], both before `scale_latents`.

    Args:
        device: Device that the VAE runs on; by default its own.

    Returns:
        Two of (B, C, h, w) in float32.
    """
    image = (2 * image - 1).to(vae.device if device is None else device, vae.dtype)
    posterior = vae.encode(image).latent_dist
    return posterior.mean.float(), posterior.std.float()


def encode_latents(
    vae: AutoencoderKL,
    image: torch.Tensor,
    copies: int = 1,
    generator: Generators | None = None,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Samples of the VAE's latents, scaled.

    Args:
        image: (B, 3, H, W) in [0, 1].
        copies: n samples of each picture.
        generator: Random generator, one for all samples or one for each.
        device: Device that the VAE runs on; by default its own.

    Returns:
        (B n, C, h, w) in float32, the samples of a picture side by side.
    """
    mean, std = (x.repeat_interleave(copies, dim=0) for x in latent_moments(vae, image, device))
    return scale_latents(vae, mean + std * randn_tensor(mean.shape, generator=generator, device=mean.device))


def decode_latents(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """Pictures of scaled latents: (B, C, h, w) -> (B, 3, H, W) in float32, about [-1, 1]."""
    return vae.decode(unscale_latents(vae, latents).to(vae.dtype), return_dict=False)[0].float()


def latent_mask(mask: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """(B, 1, H, W) -> (B, 1, h, w), by the nearest pixel."""
    return F.interpolate(mask, size=size, mode="nearest")


def person_channels(person: torch.Tensor, mask: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
    """The extractor's input (B, 2 C + 1, h, w), 33 channels as published.

    Args:
        person: (B, C, h, w), the photo's latents.
        mask: (B, 1, h, w), 1 = garment.
        masked: (B, C, h, w), latents of the photo with the garment grey.
    """
    return torch.cat([person, mask, masked], dim=1)


def extract_reference(
    extractor: FeatureExtractor, person: torch.Tensor, image_embeds: torch.Tensor, negative: bool
) -> ReferenceFeatures:
    """Runs the feature extractor, once for a whole denoising.

    Args:
        person: (B, 2 C + 1, h, w), as `person_channels` joins them.
        image_embeds: (B, P).
        negative: Whether to put guidance's negative branch first: the same person with a zero embedding.

    Returns:
        Features of B, or of 2 B with the negative ones.
    """
    if negative:
        person = torch.cat([person, person])
        image_embeds = torch.cat([torch.zeros_like(image_embeds), image_embeds])
    return extractor(person.to(extractor.dtype), image_embeds.to(extractor.dtype))


def starting_noise(
    latents: torch.Tensor | None, shape: Sequence[int], generator: Generators | None, device: torch.device
) -> torch.Tensor:
    """The noise to start from, given or drawn, always in float32.

    Raises:
        ArgumentError: What is given is no tensor.
        ValueError: It has another shape.
    """
    check_kind("latents", latents, torch.Tensor, "a tensor")
    if latents is None:
        latents = randn_tensor(shape, generator=generator, device=device)
    elif latents.shape != tuple(shape):
        raise ValueError(f"latents must be {tuple(shape)}, got {tuple(latents.shape)}.")
    return latents.to(device, torch.float32)

"""Rectified flow, as SD3 trains it (arXiv 2403.03206, section 3): x_t = (1 - t) x_0 + t e, velocity e - x_0.

Letters: B items, C latent channels, h w latent size.
"""

from collections.abc import Sequence

import torch
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_loss_weighting_for_sd3

from temu_vtoff.training.settings import FlowSettings

MODE_SCALE = 1.29  # SD3's value for its "mode" sampling


def sample_times(rngs: Sequence[torch.Generator], flow: FlowSettings) -> torch.Tensor:
    """One time in (0, 1) per item, float32 (B,), on the CPU; 1 is pure noise.

    Args:
        rngs: One random generator per item, on the CPU so that every device draws the same.
    """
    times = torch.cat(
        [
            compute_density_for_timestep_sampling(
                flow.sampling,
                batch_size=1,
                logit_mean=flow.logit_mean,
                logit_std=flow.logit_std,
                mode_scale=MODE_SCALE,
                generator=rng,
            )
            for rng in rngs
        ]
    )
    return flow.shift * times / (1 + (flow.shift - 1) * times)


def draw_noise(like: torch.Tensor, rngs: Sequence[torch.Generator]) -> torch.Tensor:
    """Standard normal noise (B, C, h, w) for latents of that shape, each item's by its own random generator."""
    return torch.stack([torch.randn(like.shape[1:], generator=rng) for rng in rngs]).to(like.device)


def interpolate(latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """x_t for latents (B, C, h, w), noise of the same shape and times (B,)."""
    t = times.view(-1, 1, 1, 1).to(latents)
    return (1 - t) * latents + t * noise


def flow_matching_loss(
    velocity: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor, weighting: str = "none"
) -> torch.Tensor:
    """Weighted mean squared error of the velocity, one number per item: (B,), float32.

    Args:
        velocity: The model's prediction, (B, C, h, w).
        weighting: One of `LOSS_WEIGHTINGS`.
    """
    weights = compute_loss_weighting_for_sd3(weighting, times)  # (B,)
    error = (velocity.float() - (noise - latents).float()).square().mean(dim=(1, 2, 3))
    return weights * error

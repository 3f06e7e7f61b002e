"""Rectified flow, as SD3 trains it (arXiv 2403.03206, section 3): x_t = (1 - t) x_0 + t e, velocity e - x_0."""

import torch
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_loss_weighting_for_sd3

TIME_SCHEMES = ("logit_normal", "uniform", "mode")
LOSS_WEIGHTINGS = ("none", "sigma_sqrt", "cosmap")
MODE_SCALE = 1.29  # SD3's value for its "mode" scheme


def sample_times(
    count: int,
    generator: torch.Generator,
    scheme: str = "logit_normal",
    logit_mean: float = 0.0,
    logit_std: float = 1.0,
    shift: float = 1.0,
) -> torch.Tensor:
    """Times in (0, 1), float32 of shape (count,), on the generator's device; 1 is pure noise.

    Args:
        scheme: One of `TIME_SCHEMES`; "logit_normal" takes `logit_mean` and `logit_std`.
        shift: Moves times towards noise, t -> shift t / (1 + (shift - 1) t), as the sampler's `shift` does.
    """
    times = compute_density_for_timestep_sampling(
        scheme, count, logit_mean, logit_std, MODE_SCALE, device=generator.device, generator=generator
    )
    return shift * times / (1 + (shift - 1) * times)


def interpolate(latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """x_t for latents (B, C, h, w), noise of the same shape and times (B,)."""
    t = times.view(-1, 1, 1, 1).to(latents)
    return (1 - t) * latents + t * noise


def flow_matching_loss(
    velocity: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor, weighting: str = "none"
) -> torch.Tensor:
    """Weighted mean square error of the velocity, one number per item: (B,), float32.

    Args:
        velocity: What the model predicted, (B, C, h, w).
        weighting: One of `LOSS_WEIGHTINGS`.
    """
    weights = compute_loss_weighting_for_sd3(weighting, times)  # (B,)
    error = (velocity.float() - (noise - latents).float()).square().mean(dim=(1, 2, 3))
    return weights * error

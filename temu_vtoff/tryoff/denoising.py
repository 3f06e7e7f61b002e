"""The denoising loop: flow matching, x_(t - dt) = x_t - dt v, with classifier-free guidance

    v = v_negative + s (v_positive - v_negative)

(arXiv 2505.21062, section 3). Where the negative branch reads no reference, guidance leads away from the model without
its extractor (cf. autoguidance, arXiv 2406.02507).

Letters: B pictures, C latent channels, h w latent size, T text tokens, P pooled width, S steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from diffusers import SchedulerMixin

from temu_vtoff.models.feature_extractor import ReferenceFeatures
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.models.modulations import Modulations
from temu_vtoff.models.tryon_transformer import TryOnTransformer

Denoiser = TryOffTransformer | TryOnTransformer


@dataclass(frozen=True)
class Conditions:
    """What a denoiser reads beside the noisy latents; the negative branch's rows go first.

    Attributes:
        pooled_embeds: (2 B, P); (B, P) without guidance.
        reference: Of 2 B; of B, the negative branch reads none. None reads none at all.
        guidance_scale: s; 1 or less turns guidance off.
        inputs: Of 2 B rows, or of B without guidance, by the denoiser's own argument: the caption's
            `encoder_hidden_states` of try-off, the `pose` of try-on.
        channels: (2 B, C', h, w) or (B, C', h, w), joined behind the noisy latents.
    """

    pooled_embeds: torch.Tensor
    reference: ReferenceFeatures | None
    guidance_scale: float
    inputs: Mapping[str, torch.Tensor] = field(default_factory=dict)
    channels: torch.Tensor | None = None

    def rows(self, noisy: torch.Tensor, first: int, end: int) -> dict[str, torch.Tensor]:
        """The denoiser's arguments for some rows, from the noisy latents of B (B, C, h, w)."""
        hidden_states = noisy.repeat((end - first) // len(noisy), 1, 1, 1)
        if self.channels is not None:
            hidden_states = torch.cat([hidden_states, self.channels[first:end]], dim=1)
        rows = {name: x[first:end] for name, x in self.inputs.items()}
        return {"hidden_states": hidden_states, "pooled_projections": self.pooled_embeds[first:end], **rows}


@dataclass
class Step:
    """A finished step, which the callback may change for the steps that follow.

    Attributes:
        number: Number of the step, from 0.
        timestep: Timestep in [0, 1000].
        latents: (B, C, h, w) after the step.
        conditions: Conditions of the step.
        before: (B, C, h, w), the latents x_t that the step started from.
        velocity: (B, C, h, w), v.
        sigma: t, the share of noise in x_t.
        stop: Set it to end the loop.
    """

    number: int
    timestep: torch.Tensor
    latents: torch.Tensor
    conditions: Conditions
    before: torch.Tensor
    velocity: torch.Tensor
    sigma: torch.Tensor
    stop: bool = False

    @property
    def clean(self) -> torch.Tensor:
        """The clean prediction x_0 = x_t - t v, (B, C, h, w)."""
        return self.before - self.sigma * self.velocity


@torch.no_grad()
def denoise(
    transformer: Denoiser,
    scheduler: SchedulerMixin,
    latents: torch.Tensor,
    conditions: Conditions,
    steps: int,
    on_step: Callable[[Step], None] | None = None,
) -> torch.Tensor:
    """From noise to the pictures' latents.

    Args:
        scheduler: Solver of the flow, such as Euler's.
        latents: (B, C, h, w), noise in float32; the integration stays in full precision.
        steps: S.
        on_step: Called after each step.

    Returns:
        (B, C, h, w) in float32.
    """
    scheduler.set_timesteps(steps, device=latents.device)
    modulated, modulations = None, [None] * steps
    for number, timestep in enumerate(scheduler.timesteps):
        if modulated is not conditions.pooled_embeds:  # at the start, and when a callback has replaced it
            modulated = conditions.pooled_embeds
            modulations = modulations_of_steps(transformer, scheduler.timesteps, modulated)
        velocity = guided_velocity(
            transformer, latents, timestep=timestep, conditions=conditions, modulations=modulations[number]
        )
        before, latents = latents, scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        if on_step is not None:
            sigma = scheduler.sigmas[number].to(latents)
            step = Step(
                number, timestep, latents=latents, conditions=conditions, before=before, velocity=velocity, sigma=sigma
            )
            on_step(step)
            latents, conditions = step.latents, step.conditions
            if step.stop:
                break
    return latents


def guided_velocity(
    transformer: Denoiser,
    latents: torch.Tensor,
    timestep: torch.Tensor,
    conditions: Conditions,
    modulations: Modulations | None,
) -> torch.Tensor:
    """The velocity (B, C, h, w) at one time, in float32: of both branches in one batch where both read a reference."""
    batch, rows = len(latents), len(conditions.pooled_embeds)
    guided = conditions.guidance_scale > 1
    if rows not in ((2 * batch,) if guided else (batch, 2 * batch)):
        raise ValueError(f"{batch} pictures need conditions of {2 * batch} rows with guidance; there are {rows}.")
    reference = conditions.reference
    noisy = latents.to(conditions.pooled_embeds.dtype)

    def velocity_of(first: int, end: int, reference: ReferenceFeatures | None) -> torch.Tensor:
        """The velocity for some rows of the conditions."""
        return transformer(
            **conditions.rows(noisy, first, end),
            timestep=timestep.expand(end - first),
            reference=reference,
            modulations=None if modulations is None else modulations[first:end],
            return_dict=False,
        )[0].float()

    positive = None if reference is None else reference[-batch:]
    if not guided:
        return velocity_of(rows - batch, rows, positive)
    if reference is None or reference.batch_size == rows:
        negative, velocity = velocity_of(0, rows, reference).chunk(2)
    else:
        negative, velocity = velocity_of(0, batch, None), velocity_of(batch, rows, positive)
    return negative + conditions.guidance_scale * (velocity - negative)


def modulations_of_steps(
    transformer: Denoiser, timesteps: torch.Tensor, pooled: torch.Tensor
) -> list[Modulations | None]:
    """AdaLN's modulations of S steps for the conditions' rows (B, P) or (2 B, P), all computed at once.

    None for each step where the denoiser's weights are in memory during its forward pass alone.
    """
    steps, rows = len(timesteps), len(pooled)
    if not transformer.computes_beforehand:
        return [None] * steps
    all_of_them = transformer.modulations(timesteps.repeat_interleave(rows), pooled.repeat(steps, 1))
    return [all_of_them[step * rows : (step + 1) * rows] for step in range(steps)]

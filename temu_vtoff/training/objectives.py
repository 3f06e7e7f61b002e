"""The losses of the stages: flow matching of the person's latents (extractor), or of the garment's latents given the
person's reference (generator, or both transformers at once), optionally with the alignment loss.

Letters: B items, C latent channels (16), h w latent size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.training.aligner import Aligner
from temu_vtoff.training.encoding import Batch, EncodedBatch
from temu_vtoff.training.flow_matching import draw_noise, flow_matching_loss, interpolate, sample_times
from temu_vtoff.training.person_denoiser import PersonDenoiser
from temu_vtoff.training.settings import FlowSettings
from temu_vtoff.tryoff.conditioning import person_channels

TIMESTEPS = 1000  # the transformers count time from 0 to 1000


class FlowObjective(nn.Module):
    """Flow matching, with auxiliary losses.

    Attributes:
        flow: How times are drawn.
        weights: Weights of the auxiliary losses by name.
    """

    def __init__(self, flow: FlowSettings) -> None:
        super().__init__()
        self.flow, self.weights = flow, {}

    def auxiliary_losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Further losses by name, from the models' latest forward pass."""
        return {}

    def total(self, flow: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """The losses, scalars, by name: "loss" is what to minimise, the others are its parts before weighting."""
        auxiliary = self.auxiliary_losses(batch)
        loss = flow + sum(self.weights[name] * value for name, value in auxiliary.items())
        return {"loss": loss, "flow": flow, **auxiliary} if auxiliary else {"loss": loss}


class ExtractorObjective(FlowObjective):
    """Stage 1: the extractor as a diffusion model of the person's latents, given mask and masked image."""

    def __init__(self, extractor: PersonDenoiser, flow: FlowSettings) -> None:
        super().__init__(flow)
        self.extractor = extractor

    def forward(self, batch: EncodedBatch, rngs: Sequence[torch.Generator]) -> dict[str, torch.Tensor]:
        """The losses; see `total`.

        Args:
            rngs: One random generator per item, for noise and times; on the CPU so that every device draws the same.
        """
        latents = sample_latents(batch.person_mean, batch.person_std, rngs)  # (B, C, h, w)
        times = sample_times(rngs, self.flow).to(latents.device)  # (B,)
        noise = draw_noise(latents, rngs)
        masked = sample_latents(batch.masked_mean, batch.masked_std, rngs)
        person = person_channels(interpolate(latents, noise, times), batch.mask, masked)  # (B, 2 C + 1, h, w)
        velocity = self.extractor.denoise(person, batch.image_embeds, times * TIMESTEPS)  # (B, C, h, w)
        flow = flow_matching_loss(velocity, latents, noise, times, weighting=self.flow.weighting).mean()
        return self.total(flow, batch)


class GeneratorObjective(FlowObjective):
    """Stage 2, and both stages at once: flow matching of the garment's latents with hybrid attention.

    Args:
        extractor: Stage 2 if its parameters are frozen, else both stages at once.
        aligner: None turns the alignment off.
        align_weight: The paper's lambda.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        generator: TryOffTransformer,
        flow: FlowSettings,
        aligner: Aligner | None = None,
        align_weight: float = 0.0,
    ) -> None:
        super().__init__(flow)
        self.extractor, self.generator, self.aligner = extractor, generator, aligner
        self.weights["align"] = align_weight
        self.train_extractor = any(p.requires_grad for p in extractor.parameters())

    def forward(self, batch: EncodedBatch, rngs: Sequence[torch.Generator]) -> dict[str, torch.Tensor]:
        """The losses; see `total`.

        Args:
            rngs: As for `ExtractorObjective`.
        """
        latents = batch.garment_latents  # (B, C, h, w)
        times = sample_times(rngs, self.flow).to(latents.device)  # (B,)
        noise = draw_noise(latents, rngs)
        person_latents = sample_latents(batch.person_mean, batch.person_std, rngs)
        masked_latents = sample_latents(batch.masked_mean, batch.masked_std, rngs)
        person = person_channels(person_latents, batch.mask, masked_latents)  # (B, 2 C + 1, h, w)
        with torch.set_grad_enabled(self.train_extractor and torch.is_grad_enabled()):
            reference = self.extractor(person, batch.image_embeds)
        velocity = self.generator(
            hidden_states=interpolate(latents, noise, times),
            encoder_hidden_states=batch.prompt_embeds,
            pooled_projections=batch.pooled_prompt_embeds,
            timestep=times * TIMESTEPS,
            reference=reference,
        ).sample  # (B, C, h, w)
        flow = flow_matching_loss(velocity, latents, noise, times, weighting=self.flow.weighting).mean()
        return self.total(flow, batch)

    def auxiliary_losses(self, batch: EncodedBatch) -> dict[str, torch.Tensor]:
        if self.aligner is None:
            return {}
        return {"align": self.aligner.loss(batch.garment_tokens, batch.garment_latents.shape[-2:])}


def sample_latents(mean: torch.Tensor, std: torch.Tensor, rngs: Sequence[torch.Generator]) -> torch.Tensor:
    """A sample of the VAE's latents, as the pipeline draws them."""
    return mean + std * draw_noise(mean, rngs)

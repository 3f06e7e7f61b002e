"""What the two stages minimise: flow matching of the person's latents (extractor), and of the garment's with the
person's reference beside them (generator, or both transformers at once); there with the alignment of the generator,
the regression of the garment and the correspondences, where asked for.

Letters: B items, C latent channels (16), h w latent size.
"""

from dataclasses import dataclass

import torch
from torch import nn

from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.generator import TryOffTransformer
from temu_vtoff.training.aligner import Aligner
from temu_vtoff.training.correspondence import CorrespondenceLesson
from temu_vtoff.training.encoding import EncodedBatch
from temu_vtoff.training.flow_matching import flow_matching_loss, interpolate, sample_times
from temu_vtoff.training.garment_regressor import GarmentRegressor
from temu_vtoff.training.person_denoiser import PersonDenoiser

TIMESTEPS = 1000  # the transformers count time from 0 to 1000


@dataclass(frozen=True)
class FlowSettings:
    """How times are drawn and losses weighted; see `sample_times` and `flow_matching_loss`."""

    scheme: str = "logit_normal"
    logit_mean: float = 0.0
    logit_std: float = 1.0
    shift: float = 1.0
    weighting: str = "none"

    def times(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(count,) in (0, 1)."""
        return sample_times(count, generator, self.scheme, self.logit_mean, self.logit_std, self.shift)


class ExtractorObjective(nn.Module):
    """Stage 1: the extractor as a diffusion model of the person's latents, given mask and greyed photo."""

    def __init__(self, extractor: PersonDenoiser, flow: FlowSettings) -> None:
        super().__init__()
        self.extractor, self.flow = extractor, flow

    def forward(self, batch: EncodedBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """The losses, scalars, by name; "loss" is what to minimise.

        Args:
            generator: Where noise and times come from, on the CPU so that every device draws the same.
        """
        latents = sample_latents(batch.person_mean, batch.person_std, generator)  # (B, C, h, w)
        times = self.flow.times(len(batch), generator).to(latents.device)  # (B,)
        noise = draw_noise(latents, generator)
        masked = sample_latents(batch.masked_mean, batch.masked_std, generator)
        person = torch.cat([interpolate(latents, noise, times), batch.mask, masked], dim=1)  # (B, 2 C + 1, h, w)
        velocity = self.extractor.denoise(person, batch.image_embeds, times * TIMESTEPS)  # (B, C, h, w)
        return {"loss": flow_matching_loss(velocity, latents, noise, times, self.flow.weighting).mean()}


class GeneratorObjective(nn.Module):
    """Stage 2, and both stages at once: flow matching of the garment's latents with hybrid attention.

    Args:
        extractor: Frozen parameters make it stage 2.
        aligner: None turns the alignment off.
        align_weight: The paper's lambda.
        regressor: Teaches the extractor outlines; None leaves that to the generator.
        regress_weight: Of its loss.
        correspondence: Teaches the generator's attention places in the photo; None leaves that to flow matching.
        correspondence_weight: Of its loss.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        generator: TryOffTransformer,
        flow: FlowSettings,
        aligner: Aligner | None = None,
        align_weight: float = 0.0,
        regressor: GarmentRegressor | None = None,
        regress_weight: float = 0.0,
        correspondence: CorrespondenceLesson | None = None,
        correspondence_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.extractor, self.generator, self.flow = extractor, generator, flow
        self.aligner, self.align_weight = aligner, align_weight
        self.regressor, self.regress_weight = regressor, regress_weight
        self.correspondence, self.correspondence_weight = correspondence, correspondence_weight
        self.train_extractor = any(p.requires_grad for p in extractor.parameters())

    def forward(self, batch: EncodedBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """The losses, scalars, by name; "loss" is what to minimise; "flow", "align", "regress" and "correspondence" are
        its parts."""
        latents = batch.garment_latents  # (B, C, h, w)
        times = self.flow.times(len(batch), generator).to(latents.device)  # (B,)
        noise = draw_noise(latents, generator)
        person = torch.cat(
            [
                sample_latents(batch.person_mean, batch.person_std, generator),
                batch.mask,
                sample_latents(batch.masked_mean, batch.masked_std, generator),
            ],
            dim=1,
        )  # (B, 2 C + 1, h, w)
        with torch.set_grad_enabled(self.train_extractor and torch.is_grad_enabled()):
            reference = self.extractor(person, batch.image_embeds)
        velocity = self.generator(
            hidden_states=interpolate(latents, noise, times),
            encoder_hidden_states=batch.prompt_embeds,
            pooled_projections=batch.pooled_prompt_embeds,
            timestep=times * TIMESTEPS,
            reference=reference,
        ).sample  # (B, C, h, w)
        loss = flow_matching_loss(velocity, latents, noise, times, self.flow.weighting).mean()
        parts = {"flow": loss}
        if self.aligner is not None:
            parts["align"] = self.aligner.loss(batch.garment_tokens, latents.shape[-2:])
            loss = loss + self.align_weight * parts["align"]
        if self.regressor is not None:
            parts["regress"] = self.regressor.loss(latents)
            loss = loss + self.regress_weight * parts["regress"]
        if self.correspondence is not None:
            parts["correspondence"] = self.correspondence.loss(batch.places, latents.shape[-2:])
            loss = loss + self.correspondence_weight * parts["correspondence"]
        return {"loss": loss} | (parts if len(parts) > 1 else {})


def sample_latents(mean: torch.Tensor, std: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A sample of the VAE's latents, as the pipeline draws them."""
    return mean + std * draw_noise(mean, generator)


def draw_noise(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Standard normal noise of the tensor's shape, drawn on the generator's device."""
    return torch.randn(like.shape, generator=generator, device=generator.device).to(like.device)

"""The loss of try-on: flow matching of the dressed person's latents, given what of the person stays, and the garment.

Letters: B items, C latent channels (16), h w latent size, H W picture size, P pooled width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.models.pose_guider import PoseGuider
from temu_vtoff.models.tryon_transformer import TryOnTransformer
from temu_vtoff.training.flow_matching import draw_noise, interpolate, sample_times
from temu_vtoff.training.objectives import TIMESTEPS, FlowObjective, sample_latents
from temu_vtoff.training.settings import FlowSettings
from temu_vtoff.training.tryon_data import EncodedFittings


class TryOnObjective(FlowObjective):
    """Extractor, denoiser and pose guider, trained together.

    Args:
        extractor: Reads the garment.
        denoiser: Repaints the person.
        pose_guider: None leaves the pose out.
        flow: How times are drawn.
        outside_weight: Weight of the loss outside the region; inside it is 1.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        denoiser: TryOnTransformer,
        pose_guider: PoseGuider | None,
        flow: FlowSettings,
        outside_weight: float = 1.0,
    ) -> None:
        super().__init__(flow)
        self.extractor, self.denoiser, self.pose_guider = extractor, denoiser, pose_guider
        self.outside_weight = outside_weight

    def forward(self, batch: EncodedFittings, rngs: Sequence[torch.Generator]) -> dict[str, torch.Tensor]:
        """The losses; see `total`.

        Args:
            rngs: One random generator per item; on the CPU so that every device draws the same.
        """
        times = sample_times(rngs, self.flow).to(batch.dressed.device)  # (B,)
        noise = draw_noise(batch.dressed, rngs)
        masked = sample_latents(batch.masked_mean, batch.masked_std, rngs)
        garments = sample_latents(batch.garment_mean, batch.garment_std, rngs)
        pose = None
        if self.pose_guider is not None:
            pose = self.pose_guider(2 * batch.pose - 1) * batch.has_pose[:, None, None]
        velocity = self.denoiser(
            hidden_states=torch.cat([interpolate(batch.dressed, noise, times), masked, batch.mask], dim=1),
            pooled_projections=batch.garment_embeds,
            timestep=times * TIMESTEPS,
            reference=self.extractor(garments, batch.garment_embeds),
            pose=pose,
        ).sample  # (B, C, h, w)
        error = (velocity.float() - (noise - batch.dressed)).square().mean(dim=1, keepdim=True)  # (B, 1, h, w)
        weights = torch.where(batch.mask > 0.5, 1.0, self.outside_weight)
        flow = ((weights * error).sum(dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3))).mean()
        return self.total(flow, batch)

"""The built-in try-on model: how its weights start, what its training minimises, and pictures to look at.

Letters: B fittings, C latent channels, D width, p patch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from torch import nn
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from builtin_training.correspondence_loss import CorrespondenceLoss
from builtin_training.try_on_shards import EncodedDrawnFittings
from temu_vtoff.pictures import save_picture
from temu_vtoff.training.export import Exporter
from temu_vtoff.training.settings import FlowSettings
from temu_vtoff.training.step_sampler import item_generators
from temu_vtoff.training.tryon_data import EncodedFittings
from temu_vtoff.training.tryon_objective import TryOnObjective
from temu_vtoff.tryoff.conditioning import decode_latents
from temu_vtoff.tryoff.denoising import Conditions, denoise

BLOCKS = (3, 4, 5)  # whose attention is supervised, counted from 1


class BuiltinTryOnObjective(TryOnObjective):
    """With supervised attention to the garment.

    Args:
        correspondence_weight: Weight of that loss; 0 is off.
        models: Arguments of `TryOnObjective`.
    """

    def __init__(self, *models: nn.Module | None, correspondence_weight: float, **settings: Any) -> None:
        super().__init__(*models, **settings)
        self.weights["correspondence"] = correspondence_weight
        self.correspondence = None
        if correspondence_weight:
            self.correspondence = CorrespondenceLoss(self.denoiser, BLOCKS, self.extractor.config.patch_size)

    def auxiliary_losses(self, batch: EncodedDrawnFittings) -> dict[str, torch.Tensor]:
        if self.correspondence is None:
            return {}
        return {"correspondence": self.correspondence.loss(batch.coords, batch.dressed.shape[-2:])}


def make_exporter(objective: TryOnObjective, scheduler: FlowMatchEulerDiscreteScheduler) -> Exporter:
    """Writes the trained models in FitDiT's layout, in half precision."""
    models = {
        "transformer_garm": objective.extractor,
        "transformer_vton": objective.denoiser,
        "pose_guider": objective.pose_guider,
    }
    return Exporter(models, scheduler, torch.float16)


@torch.no_grad()
def try_on(
    objective: TryOnObjective,
    scheduler: FlowMatchEulerDiscreteScheduler,
    batch: EncodedFittings,
    *,
    steps: int,
    guidance_scale: float,
) -> torch.Tensor:
    """The dressed persons' latents (B, C, h, w), each from its own seed."""
    embeds = torch.cat([torch.zeros_like(batch.garment_embeds), batch.garment_embeds])
    garments = torch.cat([torch.zeros_like(batch.garment_mean), batch.garment_mean])
    noise = torch.stack(
        [torch.randn(batch.dressed.shape[1:], generator=rng) for rng in item_generators(0, 0, len(batch), stream=2)]
    )
    conditions = Conditions(
        embeds,
        objective.extractor(garments, embeds),
        guidance_scale,
        inputs={"pose": objective.pose_guider(2 * batch.pose - 1).repeat(2, 1, 1)},
        channels=torch.cat([batch.masked_mean, batch.mask], dim=1).repeat(2, 1, 1, 1),
    )
    return denoise(objective.denoiser, scheduler, latents=noise, conditions=conditions, steps=steps)


@torch.no_grad()
def save_sheet(vae: AutoencoderKL, batch: EncodedFittings, made: torch.Tensor, path: Path) -> None:
    """Masked person, garment, made and true picture of each fitting, all as the VAE decodes them."""
    rows = [batch.masked_mean, batch.garment_mean, torch.where(batch.mask > 0.5, made, batch.dressed), batch.dressed]
    pictures = [(decode_latents(vae, latents) / 2 + 0.5).clamp(0, 1) for latents in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_picture(to_pil_image(make_grid(torch.stack(pictures, dim=1).flatten(0, 1), nrow=12)), path)


def region_error(made: torch.Tensor, batch: EncodedFittings) -> float:
    """Mean square error of latents within the regions."""
    error = (made - batch.dressed).square().mean(dim=1, keepdim=True)
    return float((error * batch.mask).sum() / batch.mask.sum())


def make_objective(models: Sequence[torch.nn.Module], shift: float, args) -> BuiltinTryOnObjective:
    """The objective with the flags of `train_try_on`."""
    return BuiltinTryOnObjective(
        *models,
        flow=FlowSettings(shift=shift, logit_mean=args.logit_mean, logit_std=args.logit_std),
        outside_weight=args.outside_weight,
        correspondence_weight=args.correspondence_weight,
    )

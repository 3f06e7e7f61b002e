"""The training data of both transformers: pictures and captions, encoded by the frozen models.

Letters: B items, C latent channels (16), h w latent size, T text tokens, G patch tokens of the alignment's ViT.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

import torch

from temu_vtoff.tryoff.conditioning import latent_mask, latent_moments, scale_latents

if TYPE_CHECKING:
    from temu_vtoff.datasets import SampleBatch
    from temu_vtoff.training.aligner import VisionFeatures
    from temu_vtoff.tryoff.pipeline import TryOffPipeline

Batch = TypeVar("Batch", bound="Encoded")


class Encoded:
    """One batch: a subclass is a dataclass of tensors with B rows, some of which may be None."""

    mask: torch.Tensor

    def __len__(self) -> int:
        return len(self.mask)

    def to(self: Batch, device: torch.device | str) -> Batch:
        """The batch on a device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {name: x.to(device, non_blocking=True) for name, x in tensors.items() if x is not None}
        return replace(self, **moved)


@dataclass(frozen=True)
class EncodedBatch(Encoded):
    """One batch as the objectives take it. Latents are scaled and shifted as the transformers expect them.

    The photo and the masked image are means and standard deviations, because the pipeline samples their latents; the
    garment, which is to be predicted, is the mean.
    """

    person_mean: torch.Tensor  # (B, C, h, w)
    person_std: torch.Tensor  # (B, C, h, w)
    masked_mean: torch.Tensor  # (B, C, h, w), of the photo with the garment grey
    masked_std: torch.Tensor  # (B, C, h, w)
    mask: torch.Tensor  # (B, 1, h, w), 1 = garment
    garment_latents: torch.Tensor  # (B, C, h, w)
    image_embeds: torch.Tensor  # (B, P)
    prompt_embeds: torch.Tensor  # (B, T, joint_attention_dim)
    pooled_prompt_embeds: torch.Tensor  # (B, P')
    garment_tokens: torch.Tensor | None = None  # (B, G, width of the ViT), only when aligning

    def drop_conditions(
        self, no_caption: torch.Tensor, no_image: torch.Tensor, empty: tuple[torch.Tensor, torch.Tensor]
    ) -> EncodedBatch:
        """The batch with the conditions of some items replaced by those of guidance's negative branch.

        Args:
            no_caption: (B,) bool, items that get the empty prompt's embeddings.
            no_image: (B,) bool, items whose image embedding becomes zero.
            empty: The empty prompt's embeddings, (1, T, joint_attention_dim) and (1, P').
        """
        no_caption, no_image = no_caption.to(self.mask.device), no_image.to(self.mask.device)
        prompt, pooled = (x.to(self.prompt_embeds) for x in empty)
        return replace(
            self,
            image_embeds=self.image_embeds.masked_fill(no_image[:, None], 0),
            prompt_embeds=torch.where(no_caption[:, None, None], prompt, self.prompt_embeds),
            pooled_prompt_embeds=torch.where(no_caption[:, None], pooled, self.pooled_prompt_embeds),
        )


@torch.no_grad()
def encode_pictures(pipeline: TryOffPipeline, pictures: SampleBatch) -> dict[str, torch.Tensor]:
    """The fields of `EncodedBatch` that come from the pipeline's VAE and image encoders, in their own dtypes."""
    person_mean, person_std = scaled_moments(pipeline, pictures.person)
    masked_mean, masked_std = scaled_moments(pipeline, pictures.masked_image)
    return {
        "person_mean": person_mean,
        "person_std": person_std,
        "masked_mean": masked_mean,
        "masked_std": masked_std,
        "mask": latent_mask(pictures.mask.to(person_mean), person_mean.shape[-2:]),
        "garment_latents": scaled_moments(pipeline, pictures.garment)[0],
        "image_embeds": pipeline.encode_image(pictures.person).float(),
    }


def encode_garments(vit: VisionFeatures, pictures: SampleBatch) -> dict[str, torch.Tensor]:
    """The field of `EncodedBatch` that the generator is aligned with: a ViT's tokens of the product pictures."""
    return {"garment_tokens": vit(pictures.garment.to(vit.mean.device)).float()}


def scaled_moments(pipeline: TryOffPipeline, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of scaled latents of pictures (B, 3, H, W) in [0, 1]: both (B, C, h, w), float32."""
    mean, std = latent_moments(pipeline.vae, image)
    return scale_latents(pipeline.vae, mean), std * pipeline.vae.config.scaling_factor

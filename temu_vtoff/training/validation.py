"""Validation on items that are not trained on: the loss at fixed times and noise, and pictures with scores.

Letters: B pictures, H W size.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from temu_vtoff.metrics.color_error import color_error
from temu_vtoff.metrics.silhouette import silhouette_iou
from temu_vtoff.metrics.ssim import ssim
from temu_vtoff.pictures import save_picture
from temu_vtoff.training.encoding import EncodedBatch
from temu_vtoff.training.step_sampler import item_generators, step_generator

if TYPE_CHECKING:
    from temu_vtoff.training.live_encoding import LiveEncoding
    from temu_vtoff.training.tryon_data import LiveFittings
    from temu_vtoff.training.tryon_pairs import FittingBatch
    from temu_vtoff.tryoff.pipeline import TryOffPipeline

VALIDATION = 1  # stream of random numbers; training uses 0


class Validation:
    """Scores the model on a fixed set of items.

    Args:
        objective: Gives the validation loss, "validation_loss" among the scores.
        data: Items that are not trained on; the first ones are used.
        num_items: Number of items for the loss.
        num_images: Number of items to generate and score; 0 is none.
        pipeline: Generates the pictures; None generates none (stage 1).
        steps: Sampling steps.
        guidance_scale: Guidance of the sampling.
        seed: Seed of times and noise, the same at every call.
        batch_size: Items per batch; it changes no score.
        autocast: The precision of the models.
    """

    def __init__(
        self,
        objective: nn.Module,
        data: LiveEncoding,
        *,
        num_items: int,
        num_images: int,
        pipeline: TryOffPipeline | None,
        steps: int,
        guidance_scale: float,
        seed: int,
        batch_size: int,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        self.objective, self.pipeline = objective, pipeline if num_images else None
        self.steps, self.guidance_scale, self.seed = steps, guidance_scale, seed
        self.batch_size, self.autocast = batch_size, autocast
        if self.pipeline is not None:
            self.pictures = data[range(min(num_images, len(data)))]
        parts = [
            range(len(data))[:num_items][i : i + batch_size] for i in range(0, min(num_items, len(data)), batch_size)
        ]
        with autocast():
            self.batches: list[EncodedBatch] = [data.encode(data[part]) for part in parts]

    def run(self, sheet: Path) -> dict[str, float]:
        """Scores by name; writes a sheet of photos, generated pictures and true ones."""
        with self.autocast():
            scores = {"validation_loss": self.loss()}
            generated = self.make_pictures() if self.pipeline is not None else None
        if generated is not None:
            scores |= {f"validation_{name}": value for name, value in self.picture_scores(generated).items()}
            sheet.parent.mkdir(parents=True, exist_ok=True)
            shown = torch.stack(self.shown(generated), dim=1)  # (B, 3 or 4, 3, H, W)
            save_picture(to_pil_image(make_grid(shown.flatten(0, 1), nrow=12)), sheet)
        return scores

    def picture_scores(self, generated: torch.Tensor) -> dict[str, float]:
        """Scores of pictures (B, 3, H, W) in [0, 1]."""
        return picture_scores(generated, self.pictures.garment)

    def shown(self, generated: torch.Tensor) -> list[torch.Tensor]:
        """What stands side by side on the sheet."""
        return [self.pictures.person, generated, self.pictures.garment]

    @torch.no_grad()
    def loss(self) -> float:
        """Mean loss over the items."""
        total, first = 0.0, 0
        for batch in self.batches:
            rngs = item_generators(self.seed, first, len(batch), stream=VALIDATION)
            total += self.objective(batch, rngs)["loss"].item() * len(batch)
            first += len(batch)
        return total / first

    def make_pictures(self) -> torch.Tensor:
        """Product pictures (B, 3, H, W) in [0, 1] by the whole pipeline, each from its own seed."""
        generated = []
        self.pipeline.set_progress_bar_config(disable=True)
        for first in range(0, len(self.pictures.captions), self.batch_size):
            part = slice(first, first + self.batch_size)
            captions = [caption or "" for caption in self.pictures.captions[part]]
            output = self.pipeline(
                self.pictures.person[part],
                self.pictures.mask[part],
                masked_image=self.pictures.masked_image[part],
                prompt=captions,
                num_inference_steps=self.steps,
                guidance_scale=self.guidance_scale,
                generator=[step_generator(self.seed, first + item) for item in range(len(captions))],
                output_type="pt",
            )
            generated.append(output.images.float().cpu())
        return torch.cat(generated)


class TryOnValidation(Validation):
    """As `Validation`, for persons who get their own garment back."""

    data: LiveFittings
    pictures: FittingBatch

    def picture_scores(self, generated: torch.Tensor) -> dict[str, float]:
        """SSIM with the photo, and the mean difference of the pixels that were repainted."""
        error = (generated - self.pictures.person).abs().mean(1, keepdim=True) * self.pictures.mask
        return {
            "ssim": ssim(generated, self.pictures.person).mean().item(),
            "region_error": (error.sum() / self.pictures.mask.sum().clamp(min=1)).item(),
        }

    def shown(self, generated: torch.Tensor) -> list[torch.Tensor]:
        masked = torch.where(self.pictures.mask < 0.5, self.pictures.person, 0.5)
        return [masked, self.pictures.garment, generated, self.pictures.person]

    def make_pictures(self) -> torch.Tensor:
        """Persons (B, 3, H, W) in [0, 1] by the whole pipeline, each from its own seed, pasted into the photos."""
        pictures, generated = self.pictures, []
        self.pipeline.set_progress_bar_config(disable=True)
        for number in range(len(pictures.items)):  # one by one: some may have no pose
            part = slice(number, number + 1)
            output = self.pipeline(
                pictures.garment[part],
                pictures.person[part],
                pictures.mask[part],
                pose=pictures.pose[part] if pictures.has_pose[number] else None,
                num_inference_steps=self.steps,
                guidance_scale=self.guidance_scale,
                generator=[step_generator(self.seed, number)],
                output_type="pt",
            )
            generated.append(output.images.float().cpu())
        return torch.where(pictures.mask < 0.5, pictures.person, torch.cat(generated))


def picture_scores(generated: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Mean silhouette IoU, colour error and SSIM of pictures (B, 3, H, W) in [0, 1]."""
    scores = {"silhouette_iou": silhouette_iou, "color_error": color_error, "ssim": ssim}
    return {name: score(generated, truth).mean().item() for name, score in scores.items()}

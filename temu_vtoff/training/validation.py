"""How good the model is on pictures it doesn't train on: the loss at fixed times and noise, and pictures with scores.

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
from temu_vtoff.training.step_sampler import step_generator

if TYPE_CHECKING:
    from temu_vtoff.training.live_encoding import LiveEncoding
    from temu_vtoff.tryoff.pipeline import TryOffPipeline


class Validation:
    """A fixed set of items that the model doesn't train on.

    Args:
        objective: Gives the validation loss, "validation_loss" among the scores.
        data: Items that the model doesn't train on; the first ones are used.
        num_items: For the loss.
        num_images: Made into pictures and scored; 0 leaves them out.
        pipeline: Makes the pictures; None leaves them out (stage 1 has none).
        steps: Of sampling.
        guidance_scale: Of sampling.
        seed: Of times and noise, the same at every call.
        batch_size: Items at once.
        autocast: The precision of the models.
    """

    def __init__(
        self,
        objective: nn.Module,
        data: LiveEncoding,
        num_items: int = 64,
        num_images: int = 8,
        pipeline: TryOffPipeline | None = None,
        steps: int = 28,
        guidance_scale: float = 2.0,
        seed: int = 0,
        batch_size: int = 16,
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
        """Scores by name; a sheet of photos, made pictures and truths is written as a picture."""
        with self.autocast():
            scores = {"validation_loss": self.loss()}
            made = self.make_pictures() if self.pipeline is not None else None
        if made is not None:
            scores |= {
                f"validation_{name}": value for name, value in picture_scores(made, self.pictures.garment).items()
            }
            sheet.parent.mkdir(parents=True, exist_ok=True)
            rows = torch.stack([self.pictures.person, made, self.pictures.garment], dim=1).flatten(0, 1)  # (3 B, ...)
            save_picture(to_pil_image(make_grid(rows, nrow=12)), sheet)
        return scores

    @torch.no_grad()
    def loss(self) -> float:
        """Mean loss over the batches."""
        losses = [
            self.objective(batch, step_generator(self.seed, number, 0, 0))["loss"].item()
            for number, batch in enumerate(self.batches)
        ]
        return sum(losses) / len(losses)

    def make_pictures(self) -> torch.Tensor:
        """Product pictures (B, 3, H, W) in [0, 1] by the whole pipeline, each from its own seed."""
        made = []
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
            made.append(output.images.float().cpu())
        return torch.cat(made)


def picture_scores(made: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Mean silhouette IoU, colour error and SSIM of pictures (B, 3, H, W) in [0, 1]."""
    scores = {"silhouette_iou": silhouette_iou, "color_error": color_error, "ssim": ssim}
    return {name: score(made, truth).mean().item() for name, score in scores.items()}

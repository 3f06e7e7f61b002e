"""Classifies a garment's pattern from its product picture, to measure whether patterns survive the built-in model.

Trained on true product pictures only (`train_pattern_classifier`), never on generated ones.
Letters: B pictures, H W their size.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from drawn_people import PATTERNS

WIDTHS = (16, 32, 64, 96, 128)  # each halves the size
WEIGHTS = "pattern_classifier.safetensors"


class PatternClassifier(nn.Sequential):
    """A plain convolutional network; the mean and the maximum over all positions go into the last layer."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for width in WIDTHS:
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.GroupNorm(8, width), nn.SiLU()]
            channels = width
        super().__init__(*layers, _MeanAndMaximum(), nn.Linear(2 * channels, len(PATTERNS)))

    @classmethod
    def from_pretrained(cls, folder: Path) -> PatternClassifier:
        """The classifier that `python -m builtin_training.train_pattern_classifier` wrote to the folder."""
        path = folder / WEIGHTS
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no {WEIGHTS} in {folder}; `python -m builtin_training.train_pattern_classifier` writes it."
            )
        classifier = cls()
        try:
            classifier.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError) as error:
            raise ValueError(f"{path} is damaged: {' '.join(str(error).split())[:200]}") from error
        return classifier.eval()

    def save_pretrained(self, folder: Path) -> None:
        """Writes the weights to the folder."""
        save_file(self.state_dict(), folder / WEIGHTS)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @torch.no_grad()
    def patterns(self, pictures: torch.Tensor) -> list[str]:
        """The pattern of each product picture, (B, 3, H, W) in [0, 1]."""
        logits = [self(batch.to(self.device) - 0.5) for batch in pictures.split(32)]
        return [PATTERNS[i] for i in torch.cat(logits).argmax(dim=1)]


class _MeanAndMaximum(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)


def vary(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Half of the pictures (B, 3, H, W) mirrored, all with permuted colour channels: the pattern stays the same."""
    mirrored = torch.rand(len(pictures), generator=generator) < 0.5
    pictures = torch.where(mirrored[:, None, None, None], pictures.flip(3), pictures)
    return torch.stack([picture[torch.randperm(3, generator=generator)] for picture in pictures])

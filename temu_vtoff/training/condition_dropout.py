"""Conditions withheld at random, so that one network learns both branches of classifier-free guidance.

A withheld condition is exactly what the pipeline's negative branch has: the empty prompt, and zeros for the pooled
image embedding. The spatial input stays.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ConditionDropout:
    """Probabilities, per item: everything withheld, and on top of that the caption or the image embedding alone.

    Dropping captions often keeps the text from deciding what the picture should: shape first of all.
    """

    everything: float = 0.1
    caption: float = 0.0
    image_embedding: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"The probability of dropping {name} is {value}; give one from 0 to 1.")

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Which items lose their caption, and which their image embedding: two boolean tensors of shape (count,)."""
        everything, caption, image = torch.rand(3, count, generator=generator, device=generator.device)
        neither = everything < self.everything
        return neither | (caption < self.caption), neither | (image < self.image_embedding)

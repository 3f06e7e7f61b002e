"""Which conditions are dropped at random, so that one network learns both branches of classifier-free guidance.

A dropped condition is exactly what the pipeline's negative branch has: the empty prompt, and zeros for the pooled
image embedding. The spatial input stays.
"""

from collections.abc import Sequence

import torch

from temu_vtoff.training.settings import ConditionDropout


def draw_dropped(rates: ConditionDropout, rngs: Sequence[torch.Generator]) -> tuple[torch.Tensor, torch.Tensor]:
    """Which items lose their caption, and which their image embedding: two boolean tensors of shape (B,).

    Args:
        rngs: One random generator per item.
    """
    draws = torch.stack([torch.rand(3, generator=rng) for rng in rngs])  # (B, 3)
    everything, caption, image = (draws < draws.new_tensor([rates.everything, rates.caption, rates.image_embedding])).T
    return everything | caption, everything | image

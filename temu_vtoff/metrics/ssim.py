"""SSIM (Wang et al. 2004): structure in Gaussian windows of sigma 1.5.

torchmetrics from 1.5 on mirrors pictures at their border. Before, it left the outermost 5 pixels out, as pytorch-msssim
and scikit-image do; the values differ by up to 2e-4.
"""

import torch

from temu_vtoff.metrics import METRICS

LEAST_SIDE = METRICS["ssim"].least_side  # one window


def ssim(predictions: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """
    Args:
        predictions: (B, 3, H, W) in [0, 1], at least `LEAST_SIDE` pixels high and wide.
        truths: As the predictions.

    Returns:
        (B,), 1 for equal pictures.

    Raises:
        ValueError: The pictures are too small.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    if min(predictions.shape[-2:]) < LEAST_SIDE:
        raise ValueError(f"SSIM needs pictures of at least {LEAST_SIDE} pixels on each side.")
    return structural_similarity_index_measure(predictions, truths, data_range=1.0, reduction="none").reshape(-1)

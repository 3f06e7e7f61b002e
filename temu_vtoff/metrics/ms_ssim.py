"""MS-SSIM (Wang et al. 2003): SSIM over five scales, each half the one before."""

import torch

from temu_vtoff.metrics import METRICS

LEAST_SIDE = METRICS["ms_ssim"].least_side  # 11-pixel windows at a sixteenth of the size


def ms_ssim(predictions: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """
    Args:
        predictions: (B, 3, H, W) in [0, 1], at least `LEAST_SIDE` pixels high and wide.
        truths: As the predictions.

    Returns:
        (B,), 1 for equal pictures.

    Raises:
        ValueError: The pictures are too small.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    if min(predictions.shape[-2:]) < LEAST_SIDE:
        raise ValueError(f"MS-SSIM needs pictures of at least {LEAST_SIDE} pixels on each side.")
    return multiscale_structural_similarity_index_measure(
        predictions, truths, data_range=1.0, reduction="none"
    ).reshape(-1)

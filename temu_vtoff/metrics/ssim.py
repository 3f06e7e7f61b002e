"""SSIM (Wang et al. 2004): structure in Gaussian windows of sigma 1.5."""

import torch


def ssim(predictions: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """
    Args:
        predictions: (B, 3, H, W) in [0, 1], at least 11 pixels high and wide.
        truths: Likewise.

    Returns:
        (B,), 1 for equal pictures.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    return structural_similarity_index_measure(predictions, truths, data_range=1.0, reduction="none").reshape(-1)

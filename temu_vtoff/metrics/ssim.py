"""SSIM (Wang et al. 2004): structure in Gaussian windows of sigma 1.5 that lie within the picture.

pytorch-msssim and scikit-image compute the same. torchmetrics, since version 1.5, also counts windows that reach over
the border, on mirrored pictures; these are left out here.
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
    _, values = structural_similarity_index_measure(
        predictions, truths, data_range=1.0, reduction="none", return_full_image=True
    )  # (B, 3, H, W), one for each window
    border = LEAST_SIDE // 2  # windows nearer to the edge reach over it
    return values[..., border:-border, border:-border].mean((1, 2, 3))

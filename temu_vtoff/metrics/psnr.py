"""PSNR: the mean squared error in decibels."""

import torch


def psnr(predictions: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """
    Args:
        predictions: (B, 3, H, W) in [0, 1].
        truths: As the predictions.

    Returns:
        (B,), infinite for equal pictures.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    return peak_signal_noise_ratio(predictions, truths, data_range=1.0, reduction="none", dim=(1, 2, 3))

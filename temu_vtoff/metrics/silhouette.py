"""Silhouette IoU: whether a product picture on white has the garment's outline."""

import numpy as np
import torch
from scipy import ndimage

WHITE = 240 / 255  # a pixel is background if every channel is at least this


def silhouettes(pictures: torch.Tensor) -> torch.Tensor:
    """Where pictures on a white background show something. Holes are filled, so white cloth within an outline counts.

    Args:
        pictures: (B, 3, H, W) in [0, 1].

    Returns:
        (B, H, W), bool.
    """
    shown = (pictures < WHITE).any(dim=1).cpu().numpy()
    return torch.from_numpy(np.stack([ndimage.binary_fill_holes(picture) for picture in shown]))


def silhouette_iou(predictions: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """
    Args:
        predictions: (B, 3, H, W) in [0, 1].
        truths: As the predictions; or the true silhouettes, (B, H, W), bool.

    Returns:
        (B,), intersection over union in [0, 1]; 1 where both are empty.
    """
    ours = silhouettes(predictions)
    true = truths if truths.dtype == torch.bool else silhouettes(truths)
    both, either = (ours & true).sum((1, 2)), (ours | true).sum((1, 2))
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)

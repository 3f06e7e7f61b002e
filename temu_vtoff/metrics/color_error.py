"""Mean-colour error: the distance (CIE76 Delta E) between the mean CIE Lab colours of two garments on white.

About 2 is just noticeable, 10 is seen at a glance.
"""

import torch

from temu_vtoff.metrics.silhouette import silhouettes

# IEC 61966-2-1: linear sRGB to CIE XYZ; and the white point D65.
_TO_XYZ = torch.tensor([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = torch.tensor([0.9505, 1.0, 1.089])


def color_error(predictions: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """
    Args:
        predictions: (B, 3, H, W) in [0, 1], on white; an empty picture counts as white cloth.
        truths: As the predictions.

    Returns:
        (B,), Delta E, from 0 up.
    """
    return (mean_lab(predictions) - mean_lab(truths)).norm(dim=1)


def mean_lab(pictures: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) in [0, 1] -> (B, 3), the mean Lab colour within the silhouettes."""
    inside = silhouettes(pictures)[:, None].to(pictures)  # (B, 1, H, W)
    inside = torch.where(inside.sum((2, 3), keepdim=True) > 0, inside, torch.ones_like(inside))
    return (rgb_to_lab(pictures) * inside).sum((2, 3)) / inside.sum((2, 3))


def rgb_to_lab(pictures: torch.Tensor) -> torch.Tensor:
    """sRGB (B, 3, H, W) in [0, 1] -> CIE Lab under D65: L in [0, 100], a and b about [-110, 110]."""
    linear = torch.where(pictures > 0.04045, ((pictures + 0.055) / 1.055) ** 2.4, pictures / 12.92)
    xyz = torch.einsum("ij,bjhw->bihw", _TO_XYZ.to(pictures), linear) / _WHITE.to(pictures)[:, None, None]
    f = torch.where(xyz > (6 / 29) ** 3, xyz.clamp(min=1e-9) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)

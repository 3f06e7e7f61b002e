"""Silhouette IoU and mean-colour error against values worked out by hand."""

import pytest
import torch
from skimage.color import rgb2lab

from temu_vtoff.metrics.color_error import color_error, rgb_to_lab
from temu_vtoff.metrics.silhouette import silhouette_iou, silhouettes


def square(color: tuple[float, float, float], left: int = 4, side: int = 8) -> torch.Tensor:
    """(1, 3, 24, 24): a square on white."""
    picture = torch.ones(1, 3, 24, 24)
    picture[:, :, 4 : 4 + side, left : left + side] = torch.tensor(color).view(3, 1, 1)
    return picture


def test_silhouette_iou_of_shifted_squares() -> None:
    red = square((0.8, 0.1, 0.1))
    assert silhouette_iou(red, square((0.1, 0.1, 0.8))).item() == 1  # colours don't matter
    assert silhouette_iou(red, square((0.8, 0.1, 0.1), left=8)).item() == pytest.approx(32 / 96)
    assert silhouette_iou(red, torch.ones_like(red)).item() == 0
    assert silhouette_iou(torch.ones_like(red), torch.ones_like(red)).item() == 1
    assert silhouette_iou(red, silhouettes(red)).item() == 1


def test_white_cloth_within_an_outline_counts() -> None:
    shirt = square((0.3, 0.3, 0.3))
    shirt[:, :, 6:10, 6:10] = 1
    assert silhouettes(shirt).sum() == 64


def test_lab_agrees_with_scikit_image() -> None:
    pictures = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor(rgb2lab(pictures.numpy(), channel_axis=1))
    assert (rgb_to_lab(pictures) - expected).abs().max() < 0.05


def test_color_error_is_the_distance_of_mean_colours() -> None:
    red, blue = (0.8, 0.1, 0.1), (0.1, 0.1, 0.8)
    lab = torch.tensor(rgb2lab(torch.tensor([[red, blue]]).numpy()))[0]
    expected = (lab[0] - lab[1]).norm().item()
    assert color_error(square(red), square(blue)).item() == pytest.approx(expected, abs=0.1)
    assert color_error(square(red), square(red, left=10, side=12)).item() == pytest.approx(0, abs=1e-3)

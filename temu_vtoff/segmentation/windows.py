"""Wide photos in overlapping windows: squeezed into the input of a segmenter, people are too narrow to be known."""

from __future__ import annotations

import math

import torch

WINDOW = 3 / 4  # width to height of a window, as the photos of persons that segmenters are trained on
_WIDEST_WHOLE = 1.0  # width to height of the widest photos that are seen whole
_STEP = 1 / 2  # at most, from one window to the next, as a share of its width


def cut_windows(width: int, height: int) -> list[tuple[int, int]]:
    """Left and right of the windows of a photo, in pixels; a single one, the whole photo, unless it is wide."""
    if width <= _WIDEST_WHOLE * height:
        return [(0, width)]
    own = max(1, round(WINDOW * height))
    count = 1 + math.ceil((width - own) / max(1, _STEP * own))
    lefts = [round(number * (width - own) / (count - 1)) for number in range(count)]
    return [(left, left + own) for left in lefts]


def join_windows(logits: torch.Tensor, windows: list[tuple[int, int]]) -> torch.Tensor:
    """The scores of the whole photo. Where windows overlap, each counts the more the farther its border is.

    Args:
        logits: (windows, labels, h, w), float32.
        windows: Of `cut_windows`.

    Returns:
        (labels, h, width of the photo at the scale of the windows).
    """
    if len(windows) == 1:
        return logits[0]
    w = logits.shape[-1]
    scale = w / (windows[0][1] - windows[0][0])
    whole = logits.new_zeros(*logits.shape[1:3], round(scale * windows[-1][1]))
    weights = logits.new_zeros(whole.shape[-1])
    column = torch.arange(w, device=logits.device) + 0.5
    ramp = torch.minimum(column, w - column)
    for scores, (left, _) in zip(logits, windows, strict=True):
        start = min(round(scale * left), whole.shape[-1] - w)
        whole[..., start : start + w] += ramp * scores
        weights[start : start + w] += ramp
    return whole / weights

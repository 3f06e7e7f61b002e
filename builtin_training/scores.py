"""How near product pictures come to the truth of drawn people: outline, colour, structure and pattern."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.transforms.functional import to_tensor

from builtin_training.cases import Case, categories_of
from builtin_training.pattern_classifier import PatternClassifier
from builtin_training.products import batches
from temu_vtoff.metrics.color_error import color_error
from temu_vtoff.metrics.silhouette import silhouette_iou
from temu_vtoff.metrics.ssim import ssim

SCORED_AT_ONCE = 32  # people: SSIM's windows of 900 at once take 20 GB


def score(products: torch.Tensor, cases: list[Case], judge: PatternClassifier | None) -> dict[str, float]:
    """Means over all cases, and the median colour error of plain garments; with a judge also the patterns that it sees.

    Args:
        products: (B, 3, H, W) in [0, 1], one for each case.
    """
    ious, colors, ssims = [], [], []
    for batch in batches(list(range(len(cases))), SCORED_AT_ONCE):
        generated, some = products[batch], [cases[i] for i in batch]
        truths = torch.stack([to_tensor(case.product) for case in some])
        outlines = torch.stack([to_tensor(case.silhouette)[0] > 0.5 for case in some])
        ious.append(silhouette_iou(generated, outlines))
        colors.append(color_error(generated, truths))
        ssims.append(ssim(generated, truths))
    ious, colors, ssims = torch.cat(ious), torch.cat(colors), torch.cat(ssims)
    plain = torch.tensor([case.pattern == "plain" for case in cases])
    scores = {
        "silhouette_iou": ious.mean(),
        "color_error": colors.mean(),
        "color_error_plain_median": colors[plain].median(),
        "ssim": ssims.mean(),
    }
    if judge is not None:
        right = patterns_right(products, cases, judge)
        scores["patterns_right"] = right.mean()
        for pattern in sorted({case.pattern for case in cases}):
            scores[f"patterns_right_{pattern}"] = right[[case.pattern == pattern for case in cases]].mean()
    for category in categories_of(cases):
        members = torch.tensor([case.category == category for case in cases])
        scores |= {
            f"silhouette_iou_{category}": ious[members].mean(),
            f"color_error_{category}": colors[members].mean(),
        }
    return {name: round(float(value), 4) for name, value in scores.items()}


def patterns_right(pictures: torch.Tensor, cases: list[Case], judge: PatternClassifier) -> np.ndarray:
    """(B,) bool: whether the judge sees the case's pattern in its product picture."""
    return np.array([seen == case.pattern for seen, case in zip(judge.patterns(pictures), cases, strict=True)])


def judged_truth(cases: list[Case], judge: PatternClassifier | None) -> dict[str, float]:
    """The judge's own accuracy: the share of true products on which it is right."""
    if judge is None:
        return {}
    right = patterns_right(torch.stack([to_tensor(case.product) for case in cases]), cases, judge).mean()
    return {"patterns_right_on_true_products": round(float(right), 4)}

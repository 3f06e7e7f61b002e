"""report.html: one self-contained page with tables, distributions and the best, median and worst items."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader

from temu_vtoff.metrics import METRICS
from temu_vtoff.metrics.evaluation import OVERALL, Scores
from temu_vtoff.metrics.published import COLUMNS, ITEMS, PUBLISHED, SIZE
from temu_vtoff.pictures import open_picture

RANKED_BY = ("dists", "lpips", "ssim", "ms_ssim", "clip_i", "dino", "psnr")  # the first one that was computed
SHOWN = 4  # items in each section
SHOWN_HEIGHT = 384  # pixels, at most
BINS = 24
_PLOT_WIDTH, _PLOT_HEIGHT = 240, 80


@dataclass(frozen=True)
class EvaluationSettings:
    """The settings of an evaluation, which its results repeat.

    Attributes:
        title: Title of the report.
        command: The command line that ran it.
        width: Pictures were compared at width x height.
        height: See width.
        resize_mode: How pictures of another aspect ratio were fitted.
        seed: Seed of KID's random subsets.
        dataset_name: None if two folders are compared; the report then shows no published numbers.
        order: The list of pairs.
        missing: Keys of truths without a prediction.
        extra: Keys of predictions without a truth.
        excluded: Keys of items that were left out on purpose.
        quality: The score without truth of each prediction, by key, where its run wrote one.
    """

    title: str
    command: str
    width: int
    height: int
    resize_mode: str = "pad"
    seed: int = 0
    dataset_name: str | None = None
    order: str = "paired"
    missing: Sequence[str] = ()
    extra: Sequence[str] = ()
    excluded: Sequence[str] = ()
    quality: Mapping[str, float] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        """How pictures were fitted, in one sentence."""
        return (
            f"Predictions and truths alike: turned upright, RGB, then {self.resize_mode} to that size with Lanczos "
            "resampling; FID and KID resize from there as clean-fid does."
        )


def render_report(scores: Scores, settings: EvaluationSettings) -> str:
    """The page's HTML."""
    summary, groups = scores.summary(), scores.groups()
    shown = scores.names()
    return page(
        "report.html.jinja",
        scores,
        settings,
        rows=[
            {"group": group, "cells": [cell(summary[group].get(name), name) for name in shown], "count": len(rows)}
            for group, rows in groups.items()
        ],
        few_for_fid="fid" in shown and len(scores.pairs) < 2048,
        pooled=[METRICS[name].title for name in shown if METRICS[name].compares_sets] if len(groups) > 1 else [],
        implementations=implementations(shown),
        published=_published_rows(summary[OVERALL], settings),
        published_metrics=[METRICS[name] for name in COLUMNS],
        comparable=_comparable(scores, settings),
        plots=[_histogram(name, values) for name, values in scores.per_item.items() if np.isfinite(values).any()],
        sections=_sections(scores, settings.quality),
    )


def page(template: str, scores: Scores, settings: EvaluationSettings, **content: Any) -> str:
    """A page's HTML, from a template beside this file.

    Args:
        scores: What the page says of pairs and metrics.
        settings: Each of them can be named in the template.
        content: Further names of the template.
    """
    shown = scores.names()
    common = {
        **vars(settings),
        "rule": settings.rule,
        "count": len(scores.pairs),
        "metrics": [METRICS[name] for name in shown],
        "scale_note": _scale_note(shown),
        "skipped": [(METRICS[name].title, reason) for name, reason in scores.skipped.items()],
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(**common, **content)


def scaled(value: float, name: str) -> str:
    """A value as tables show it."""
    return f"{value * METRICS[name].scale:.2f}"


def headline(entry: Mapping[str, float]) -> float:
    """The number that stands for a group: the mean over items, or the sets' value."""
    return entry["mean"] if "mean" in entry else entry["value"]


def cell(entry: Mapping[str, float] | None, name: str) -> str:
    """A group's number as tables show it."""
    return "–" if entry is None else scaled(headline(entry), name)


def _scale_note(names: Sequence[str]) -> str:
    """The sentences that say which metrics are shown times what."""
    by_scale: dict[float, list[str]] = {}
    for name in names:
        if METRICS[name].scale != 1:
            by_scale.setdefault(METRICS[name].scale, []).append(METRICS[name].title)
    return " ".join(f"{', '.join(titles)} times {scale:g}." for scale, titles in by_scale.items())


def implementations(names: Sequence[str]) -> dict[str, str]:
    """By metric, what computes it."""
    return {name: METRICS[name].implementation for name in names}


def _published_rows(overall: Mapping[str, Mapping[str, float]], settings: EvaluationSettings) -> list[dict[str, Any]]:
    if settings.dataset_name is None or settings.order != "paired":
        return []
    rows = [
        {"name": name, "own": False, "cells": ["–" if value is None else f"{value:.2f}" for value in values]}
        for name, values in PUBLISHED[settings.dataset_name].items()
    ]
    own = {"name": "This run", "own": True, "cells": [cell(overall.get(name), name) for name in COLUMNS]}
    return [*rows, own]


def _comparable(scores: Scores, settings: EvaluationSettings) -> str:
    if settings.dataset_name is None:
        return ""
    reasons = []
    if (settings.width, settings.height) != SIZE:
        reasons.append(f"pictures of {settings.width}×{settings.height} instead of {SIZE[0]}×{SIZE[1]}")
    if len(scores.pairs) != ITEMS[settings.dataset_name]:
        reasons.append(f"{len(scores.pairs)} items instead of the {ITEMS[settings.dataset_name]} of the test split")
    published = f"Published: the whole test split at {SIZE[0]}×{SIZE[1]}, from the papers."
    return published if not reasons else f"{published} Not comparable with this run: {'; '.join(reasons)}."


def _histogram(name: str, values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)]  # PSNR of equal pictures is infinite
    low, high = float(finite.min()), float(finite.max())
    if high - low < 1e-9 * max(1.0, abs(high)):  # equal but for rounding
        low, high = low - 0.5 / METRICS[name].scale, high + 0.5 / METRICS[name].scale
    counts, edges = np.histogram(finite, bins=BINS, range=(low, high))
    step = _PLOT_WIDTH / BINS
    heights = counts / counts.max() * _PLOT_HEIGHT
    median = float(np.nanmedian(values))
    return {
        "title": METRICS[name].title,
        "median": scaled(median, name),
        "median_x": round((np.clip(median, low, high) - low) / (high - low) * _PLOT_WIDTH, 1),
        "low": scaled(low, name),
        "high": scaled(high, name),
        "bars": [
            {
                "x": round(i * step + 0.5, 1),
                "y": round(_PLOT_HEIGHT - heights[i], 1),
                "width": round(step - 1, 1),
                "height": round(heights[i], 1),
                "label": f"{scaled(edges[i], name)} to {scaled(edges[i + 1], name)}: {counts[i]}",
            }
            for i in range(BINS)
        ],
    }


def _sections(scores: Scores, quality: Mapping[str, float]) -> list[dict[str, Any]]:
    name = next((name for name in RANKED_BY if name in scores.per_item), None)
    if name is None:
        return []
    values, total = scores.per_item[name], len(scores.pairs)
    order = np.argsort(-values if METRICS[name].higher_is_better else values, kind="stable")  # the best first
    best = order[:SHOWN]
    worst = order[max(SHOWN, total - SHOWN) :][::-1]
    middle = order[SHOWN : max(SHOWN, total - SHOWN)]
    start = max(0, (len(middle) - SHOWN) // 2)
    by = f"by {METRICS[name].title}"
    chosen = {f"Best {by}": best, f"Around the median {by}": middle[start : start + SHOWN], f"Worst {by}": worst}
    return [
        {"title": title, "examples": [_shown_item(scores, int(row), name, quality) for row in rows]}
        for title, rows in chosen.items()
        if len(rows)
    ]


def _shown_item(scores: Scores, row: int, name: str, quality: Mapping[str, float]) -> dict[str, Any]:
    pair = scores.pairs[row]
    paths = [("photo", pair.photo), ("prediction", pair.prediction), ("truth", pair.truth)]
    return {
        "key": pair.key,
        "score": scaled(scores.per_item[name][row], name),
        "quality": f"quality {quality[pair.key]:.2f}" if pair.key in quality else "",
        "pictures": [(what, inline(path)) for what, path in paths if path is not None],
    }


def inline(path: Path) -> str:
    """A picture, reduced, as the source of an HTML image."""
    picture = open_picture(path)
    picture.thumbnail((2 * SHOWN_HEIGHT, SHOWN_HEIGHT))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"

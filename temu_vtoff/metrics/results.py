"""Writes the results of an evaluation: metrics.json, per_item.csv and report.html."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from temu_vtoff.files import write_text
from temu_vtoff.metrics import METRICS
from temu_vtoff.metrics.evaluation import OVERALL, Scores
from temu_vtoff.metrics.report import EvaluationSettings, implementations, render_report


def write_results(folder: Path, scores: Scores, settings: EvaluationSettings) -> list[Path]:
    """Writes the three files into an existing folder and returns their paths."""
    files = {
        "metrics.json": json.dumps(_strict(_summary(scores, settings)), indent=1, ensure_ascii=False) + "\n",
        "per_item.csv": _table(scores, settings.quality),
        "report.html": render_report(scores, settings),
    }
    for name, text in files.items():
        write_text(folder / name, text)
    return [folder / name for name in files]


def _summary(scores: Scores, settings: EvaluationSettings) -> dict[str, Any]:
    summary = scores.summary()
    return {
        "title": settings.title,
        "items": len(scores.pairs),
        "width": settings.width,
        "height": settings.height,
        "resize": settings.rule,
        "kid_seed": settings.seed,
        "metrics": summary,
        "sets": _sets(summary),
        "implementations": implementations(list(summary[OVERALL])),
        "skipped": scores.skipped,
        "missing": settings.missing,
        "extra": settings.extra,
        "excluded": settings.excluded,
    }


def _sets(summary: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """FID and KID of all pictures pooled into one set, and of each category's pictures alone."""
    return {
        name: {
            "pooled": entry["value"],
            "by_category": {
                group: own[name]["value"] for group, own in summary.items() if group != OVERALL and name in own
            },
        }
        for name, entry in summary[OVERALL].items()
        if METRICS[name].compares_sets
    }


def _table(scores: Scores, quality: Mapping[str, float]) -> str:
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["key", "category", "prediction", "truth", *scores.per_item, *(["quality"] if quality else [])])
    for index, pair in enumerate(scores.pairs):
        values = ("" if np.isnan(found[index]) else float(found[index]) for found in scores.per_item.values())
        judged = [quality.get(pair.key, "")] if quality else []
        rows.writerow([pair.key, pair.category, pair.prediction, pair.truth, *values, *judged])
    return table.getvalue()


def _strict(value: Any) -> Any:
    """Strict JSON has no infinities: "inf" for the PSNR of equal pictures, null for what is undefined because of it."""
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value

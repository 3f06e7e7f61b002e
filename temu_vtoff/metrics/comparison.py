"""Several models' pictures of the same items: one table, one page of rows, and the picture that papers show."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import write_text
from temu_vtoff.metrics import METRICS
from temu_vtoff.metrics.evaluation import Scores
from temu_vtoff.metrics.matching import Matching, PicturePair
from temu_vtoff.metrics.report import RANKED_BY, EvaluationSettings, cell, headline, inline, page, scaled
from temu_vtoff.pictures import fit_picture, open_picture, save_picture

ROWS, PICTURE_ROWS = 12, 6  # items on the page and in the picture
_HEIGHT, _GAP = 256, 6  # of a picture in the picture, in pixels


def model_names(folders: Sequence[Path], names: Sequence[str] | None) -> list[str]:
    """A name for each folder of predictions: those given, else the folders' own.

    Raises:
        ArgumentError: Another number of names than of folders, or a name twice or unfit for a folder.
    """
    chosen = [folder.resolve().name for folder in folders] if names is None else list(names)
    if len(chosen) != len(folders):
        raise ArgumentError(
            f"{{names}} are {len(chosen)} and {{pred_dir}} {len(folders)}; give one name for each.", "names", "pred_dir"
        )
    if len({*chosen}) != len(chosen):
        raise ArgumentError(f"Two models have one name: {', '.join(chosen)}; give {{names}}.", "names")
    for name in chosen:
        if Path(name).name != name or name in ("", ".."):
            raise ArgumentError(f"{{names}} has {name!r}, which is no name for a folder.", "names")
    return chosen


def common_pairs(matchings: Sequence[Matching]) -> tuple[list[list[PicturePair]], list[str]]:
    """For each model the pairs that all models have, in one order; and the keys that some model lacks."""
    keys = [{pair.key for pair in matching.pairs} for matching in matchings]
    shared, seen = set.intersection(*keys), set.union(*keys, *(matching.missing for matching in matchings))
    order = [pair.key for pair in matchings[0].pairs if pair.key in shared]
    by_key = [{pair.key: pair for pair in matching.pairs} for matching in matchings]
    return [[pairs[key] for key in order] for pairs in by_key], sorted(seen - shared)


def write_comparison(
    folder: Path, scores: Mapping[str, Scores], settings: EvaluationSettings, left_out: Sequence[str] = ()
) -> list[Path]:
    """Writes comparison.html, comparison.csv and comparison.png into an existing folder and returns their paths.

    Args:
        scores: By model, of the same items in the same order.
        left_out: Keys of items that a model lacks.
    """
    write_text(folder / "comparison.html", render_comparison(scores, settings, left_out))
    write_text(folder / "comparison.csv", _table(scores))
    save_picture(comparison_picture(scores), folder / "comparison.png")
    return [folder / f"comparison.{ending}" for ending in ("html", "csv", "png")]


def render_comparison(scores: Mapping[str, Scores], settings: EvaluationSettings, left_out: Sequence[str] = ()) -> str:
    """The page's HTML."""
    first = next(iter(scores.values()))
    summaries, shown = {name: own.summary() for name, own in scores.items()}, first.names()
    return page(
        "comparison.html.jinja",
        first,
        settings,
        left_out=left_out,
        tables=[
            {"group": group, "count": len(rows), "rows": _rows(summaries, group, shown)}
            for group, rows in first.groups().items()
        ],
        columns=["photo", "truth", *scores],
        rows=[_shown_row(scores, row) for row in _spread(len(first.pairs), ROWS)],
    )


def comparison_picture(scores: Mapping[str, Scores]) -> Image.Image:
    """Rows of photo, truth and each model's picture, with the names above."""
    first = next(iter(scores.values()))
    truth = open_picture(first.pairs[0].truth)
    width = round(_HEIGHT * truth.width / truth.height)
    chosen = _spread(len(first.pairs), PICTURE_ROWS)
    columns = [*(["photo"] if first.pairs[0].photo is not None else []), "truth", *scores]
    font = ImageFont.load_default(16)
    head = 28
    sheet = Image.new(
        "RGB", (len(columns) * (width + _GAP) + _GAP, head + len(chosen) * (_HEIGHT + _GAP) + _GAP), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for number, name in enumerate(columns):
        middle = _GAP + number * (width + _GAP) + width / 2
        draw.text((middle, head / 2), _short(name, font, width), "black", font, anchor="mm")
    for line, row in enumerate(chosen):
        for number, path in enumerate(path for path in _paths(scores, row) if path is not None):
            picture = fit_picture(open_picture(path), width, _HEIGHT)
            sheet.paste(picture, (_GAP + number * (width + _GAP), head + line * (_HEIGHT + _GAP)))
    return sheet


def _paths(scores: Mapping[str, Scores], row: int) -> list[Path | None]:
    """Photo, truth and predictions of an item."""
    pairs = [own.pairs[row] for own in scores.values()]
    return [pairs[0].photo, pairs[0].truth, *(pair.prediction for pair in pairs)]


def _rows(summaries: Mapping[str, Any], group: str, shown: Sequence[str]) -> list[dict[str, Any]]:
    """One row of the table for each model, the best number of each column marked."""
    best: dict[str, float] = {}
    for name in shown:
        values = [headline(summary[group][name]) for summary in summaries.values() if name in summary[group]]
        best[name] = (max if METRICS[name].higher_is_better else min)(values, default=float("nan"))
    return [
        {
            "name": model,
            "cells": [
                {
                    "text": cell(summary[group].get(name), name),
                    "best": name in summary[group] and headline(summary[group][name]) == best[name],
                }
                for name in shown
            ],
        }
        for model, summary in summaries.items()
    ]


def _shown_row(scores: Mapping[str, Scores], row: int) -> dict[str, Any]:
    ranked = next((name for name in RANKED_BY if name in next(iter(scores.values())).per_item), None)
    values = [
        "" if ranked is None else f"{METRICS[ranked].title} {scaled(own.per_item[ranked][row], ranked)}"
        for own in scores.values()
    ]
    key = next(iter(scores.values())).pairs[row].key
    cells = [
        {"name": name, "picture": None if path is None else inline(path), "score": score}
        for name, path, score in zip(["photo", "truth", *scores], _paths(scores, row), [key, "", *values], strict=True)
    ]
    return {"key": key, "cells": cells}


def _spread(total: int, count: int) -> list[int]:
    """At most `count` row numbers at even distances."""
    return sorted({int(row) for row in np.linspace(0, total - 1, min(count, total)).round()})


def _short(name: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    while len(name) > 1 and font.getlength(name) > width:
        name = name.removesuffix("…")[:-1] + "…"
    return name


def _table(scores: Mapping[str, Scores]) -> str:
    """One row for each model and group, with the unscaled numbers."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    names = next(iter(scores.values())).names()
    rows.writerow(["model", "group", "items", *names])
    for model, own in scores.items():
        summary = own.summary()
        for group, members in own.groups().items():
            values = [headline(summary[group][name]) if name in summary[group] else "" for name in names]
            rows.writerow([model, group, len(members), *values])
    return table.getvalue()

"""Draws benchmarks/results/generation.jsonl: seconds per picture by stage, for each scale's presets and reference.

    python -m benchmarks.plot --output benchmarks/results/generation.png

The latest row of each scale, preset and device counts.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import command_line
from benchmarks import RESULTS, STAGES


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    parser.add_argument("--input", type=Path, default=RESULTS / "generation.jsonl", help="measured rows")
    parser.add_argument("--output", type=Path, default=RESULTS / "generation.png", help="picture to write")
    return parser.parse_args(argv)


def latest_rows(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The latest rows of single photos, by scale and device, then by preset."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: run `make bench` first.")
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if row["batch"] == 1:
            groups.setdefault(f"{row['scale']}, {row['dtype']}\n{row['device']}", {})[row["preset"]] = row
    return groups


def main(args: argparse.Namespace) -> None:
    groups = latest_rows(args.input)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(groups), figsize=(4.2 * len(groups), 3), layout="constrained", squeeze=False)
    for axis, (title, rows) in zip(axes[0], groups.items(), strict=True):
        bars = {
            name: row["stage_seconds"] | {"denoise": row["denoise_seconds"]["median"]} for name, row in rows.items()
        }
        first = next(iter(rows.values()))
        if "reference_seconds" in first:
            bars = {"reference": {"denoise": first["reference_seconds"]["median"]}} | bars
        left = [0.0] * len(bars)
        for stage in STAGES:
            widths = [bar.get(stage, 0.0) for bar in bars.values()]
            axis.barh(list(bars), widths, left=left, label=stage)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axis.invert_yaxis()
        axis.set_title(title, fontsize=8)
        axis.set_xlabel("seconds a picture")
    axes[0][-1].legend(fontsize=7)
    figure.savefig(args.output, dpi=110)
    print(args.output)


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Writes the measured rows of benchmarks/results/ into docs/performance.md, between its <!-- name --> marks.

python -m benchmarks.tables
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import command_line
from benchmarks import RESULTS, STAGES

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
SCORES = {"silhouette_iou": "silhouette IoU", "ssim": "SSIM", "color_error": "mean-colour error (Delta E)"}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder with the rows")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="document to update")
    return parser.parse_args(argv)


def read(path: Path, *keys: str) -> list[dict[str, Any]]:
    """The latest row for each combination of the keys' values."""
    if not path.is_file():
        return []
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return list({tuple(row[key] for key in keys): row for row in rows}.values())


def table(head: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    head = list(head)
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (head, ["---"] * len(head), *lines))


def speed(rows: list[dict[str, Any]]) -> str:
    """Denoising loops against the reference, and the stages."""
    loops, stages = [], []
    for row in rows:
        name = (row["scale"], row["preset"], row["batch"], row["dtype"])
        ours, plain = row["denoise_seconds"], row.get("reference_seconds", {}).get("median", "-")
        spread = f"{ours['median']} ({ours['min']} to {ours['max']})"
        difference = f"{row['max_difference']:.0e}" if row["preset"] == "exact" and "speedup" in row else "-"
        rate = f"{row['denoise_tflops']:.2f} of {row['product_tflops']:.2f}" if "denoise_tflops" in row else "-"
        loops.append([*name, row["steps"], spread, plain, row.get("speedup", "-"), difference, rate])
        seconds = [row["stage_seconds"][stage] for stage in STAGES]
        stages.append([*name, *seconds, f"{row['batch'] / sum(seconds):.3g}"])
    heads = ("scale", "preset", "batch", "precision")
    loop_heads = ("steps", "seconds", "reference", "speed-up", "largest difference", "TFLOP/s, of a product's")
    made_by = rows[-1]
    versions = ", ".join(f"{name} {made_by['versions'][name]}" for name in ("torch", "diffusers"))
    return "\n\n".join(
        [
            f"On {made_by['device']}; {versions}; commit {made_by['commit'][:7]}. Seconds of the denoising loop:",
            table((*heads, *loop_heads), loops),
            "Seconds of each stage of one call, and the pictures a second that come of it:",
            table((*heads, *STAGES, "pictures a second"), stages),
        ]
    )


def quality(rows: list[dict[str, Any]]) -> str:
    """Scores against the truth, and their change from `exact` under the same guidance and precision."""
    exact = {(row["guidance"], row["dtype"]): row["scores"] for row in rows if row["preset"] == "exact"}

    lines = []
    for row in rows:
        cells = with_changes(row["scores"], exact[row["guidance"], row["dtype"]])
        lines.append([row["guidance"], row["dtype"].removeprefix("torch."), row["preset"], *cells])
    return f"{rows[0]['people']} people:\n\n" + table(("guidance", "precision", "preset", *SCORES.values()), lines)


def with_changes(scores: dict[str, float], exact: dict[str, float]) -> list[str]:
    """Each of `SCORES`, with its change from that of `exact`."""
    return [f"{scores[name]:.4f} ({100 * (scores[name] / exact[name] - 1):+.1f}%)" for name in SCORES]


def rates(rows: list[dict[str, Any]]) -> str:
    """Pictures per second against batch size."""
    lines = [[row["device"], row["model"], row["batch"], row["pictures_per_second"]] for row in rows]
    return table(("device", "model", "batch", "pictures a second"), lines)


def main(args: argparse.Namespace) -> None:
    parts = {
        "speed": (speed, read(args.results / "generation.jsonl", "scale", "preset", "batch", "dtype", "device")),
        "quality": (quality, read(args.results / "quality.jsonl", "guidance", "dtype", "preset")),
        "segment": (rates, read(args.results / "segment.jsonl", "model", "batch", "device")),
        "caption": (rates, read(args.results / "caption.jsonl", "model", "batch", "device")),
    }
    text = args.document.read_text(encoding="utf-8")
    for name, (render, rows) in parts.items():
        if rows:
            before, _, rest = text.partition(f"<!-- {name} -->\n")
            text = f"{before}<!-- {name} -->\n{render(rows)}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    args.document.write_text(text, encoding="utf-8")
    print(args.document)


if __name__ == "__main__":
    command_line.run(main, parse_args())

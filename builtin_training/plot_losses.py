"""Draws the losses of the built-in model's trainings against their steps.

    python -m builtin_training.plot_losses --runs runs --output assets/losses.png

Each dot is a logged step; the lines are running medians. Runs without a log are left out.
"""

import argparse
from pathlib import Path
from statistics import median

import command_line

OF_CAPTIONER = ("attributes_by_place", "attributes", "answer")
# part: (log, losses drawn)
PARTS = {
    "VAE": ("vae/metrics.jsonl", ("loss",)),
    "encoders": ("encoders/metrics.jsonl", ("loss",)),
    "segmenter": ("segmenter/metrics.jsonl", ("loss",)),
    "captioner_start": ("captioner_start/metrics.jsonl", OF_CAPTIONER),
    "captioner": ("captioner/metrics.jsonl", OF_CAPTIONER),
}
TRANSFORMERS = [Path("runs") / name for name in ("joint_start", "joint_outlines", "joint_textures", "joint_last")]
OF_TRANSFORMERS = ("loss", "flow", "regress", "align", "correspondence")
OFFSETS = {"align": 1}  # added so that the best is 0, as for the other losses
MEDIAN_OVER = 9  # logged steps


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--runs", type=Path, default=Path("runs"), help="folder with vae/, encoders/, segmenter/ and captioner/")
    add("--transformers", nargs="+", type=Path, default=TRANSFORMERS, help="folders that train_transformers wrote")
    add("--output", type=Path, default=Path("assets/losses.png"), help="picture to write")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from temu_vtoff.training.run_folder import read_log

    logs = {name: (args.runs / path, losses) for name, (path, losses) in PARTS.items()}
    logs |= {run.name: (run / "metrics.jsonl", OF_TRANSFORMERS) for run in args.transformers}
    logs = {name: log for name, log in logs.items() if log[0].is_file()}
    if not logs:
        raise FileNotFoundError(f"There is no log in {args.runs} nor in {args.transformers[0]}: train something first.")
    size = (3.0 * len(logs), 2.8)
    figure, axes = pyplot.subplots(1, len(logs), figsize=size, layout="constrained", squeeze=False)
    for axis, (name, (path, losses)) in zip(axes[0], logs.items(), strict=True):
        rows = read_log(path)
        logged = [loss for loss in losses if any(loss in row for row in rows)]  # the answer comes last
        if "flow" in logged:
            logged.remove("loss")  # their weighted sum; the weights differ between runs
        for loss in logged:
            steps = [row["step"] for row in rows if loss in row]
            offset = OFFSETS.get(loss, 0)
            values = [row[loss] + offset for row in rows if loss in row]
            (dots,) = axis.plot(steps, values, ".", markersize=2, alpha=0.35)
            label = loss.replace("_", " ") + (f" + {offset}" if offset else "")
            axis.plot(steps, running_median(values), color=dots.get_color(), label=label)
        axis.set(title=name, xlabel="step", yscale="log")
        axis.grid(which="both", alpha=0.2)
        if len(logged) > 1:
            axis.legend(fontsize=7)
    axes[0, 0].set_ylabel("loss")
    figure.savefig(args.output, dpi=110)
    print(args.output)


def running_median(values: list[float]) -> list[float]:
    """The median of each value and its neighbours, `MEDIAN_OVER` in all; a mean follows the first, large losses."""
    around = MEDIAN_OVER // 2
    return [median(values[max(0, i - around) : i + around + 1]) for i in range(len(values))]


if __name__ == "__main__":
    command_line.run(main, parse_args())

"""Draws compair.png: the built-in model beside its ablations and the cut-out baseline, and published numbers."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image
from torchvision.transforms.functional import to_pil_image

from builtin_training.cases import Sampling, draw_cases, segment_and_caption
from builtin_training.products import make_products
from builtin_training.scores import score
from drawn_people import CATEGORIES
from temu_vtoff import Options, TryOff
from temu_vtoff.metrics.published import COLUMNS, PUBLISHED

INK, OURS, OTHERS = "#1f2937", "#e11d48", "#94a3b8"
VARIANTS = {
    "full": "all of it",
    "no_caption": "no caption",
    "no_fine_mask": "garment not grey",
    "no_reference": "no extractor",
    "cut_out": "baseline: cut\nout by true mask",
}
SCORES = {
    "silhouette_iou": "outline: IoU, more is better",
    "color_error": "mean colour: ΔE, less is better",
    "ssim": "SSIM, more is better",
}
PAPERS = {"dresscode": "Dress Code", "vitonhd": "VITON-HD"}
SHOWN_METRICS = {"dists": "DISTS x100", "fid": "FID"}
PER_CATEGORY = 2  # people shown


def save_comparison(folder: Path, count: int) -> Path:
    """Writes compair.png.

    Args:
        count: People per category that are measured; the first ones, none chosen, are shown.
    """
    toolkit = TryOff(Options(device="cpu", precision="no", compile=False, batch_size=Sampling.batch_size))
    cases = draw_cases(count)
    segment_and_caption(cases, toolkit)
    pipe = toolkit.pipeline()
    products = {variant: make_products(pipe, cases, variant, Sampling()) for variant in VARIANTS}
    scores = {variant: score(pictures, cases, judge=None) for variant, pictures in products.items()}

    shown = sorted(range(PER_CATEGORY * len(CATEGORIES)), key=lambda i: CATEGORIES.index(cases[i].category))
    columns = {"photo": [cases[i].photo for i in shown], "true product": [cases[i].product for i in shown]}
    columns |= {VARIANTS[v]: [to_pil_image(pictures[i]) for i in shown] for v, pictures in products.items()}
    figure = draw_comparison(columns, scores, len(cases))
    path = folder / "compair.png"
    figure.savefig(path, dpi=100, metadata={"Software": None})
    return path


def draw_comparison(columns: dict[str, list[Image.Image]], scores: dict[str, dict[str, float]], people: int) -> Figure:
    """The sheet: pictures, our scores, published scores.

    Args:
        columns: Pictures from top to bottom, by the column's title.
        scores: Scores of each of `VARIANTS`, as `builtin_training.scores` names them.
        people: Number of people that the scores are the mean of.
    """
    figure = Figure(figsize=(12, 19), facecolor="white", layout="constrained")
    pictures, ours, papers = figure.subfigures(3, 1, height_ratios=(13, 2.5, 3.2), hspace=0.03)
    _head(pictures, "The built-in model and its ablations: drawn people it never met, none chosen")
    grid = pictures.subplots(len(next(iter(columns.values()))), len(columns))
    for c, (title, column) in enumerate(columns.items()):
        grid[0, c].set_title(title, fontsize=13, color=INK, va="bottom")
        for r, picture in enumerate(column):
            grid[r, c].imshow(picture)
            grid[r, c].set(xticks=[], yticks=[])
            grid[r, c].spines[:].set_color("#e2e8f0")

    _head(ours, f"The same, measured on {people} drawn people at 192x256")
    for axes, (metric, title) in zip(ours.subplots(1, len(SCORES)), SCORES.items(), strict=True):
        values = {VARIANTS[v].replace("\n", " "): scores[v][metric] for v in VARIANTS}
        _bars(axes, values, title, VARIANTS["full"], names=metric == next(iter(SCORES)))

    _head(papers, "As papers report it, not measured here: photographs, 768x1024, less is better")
    places = [(dataset, metric) for dataset in PAPERS for metric in SHOWN_METRICS]
    for axes, (dataset, metric) in zip(papers.subplots(1, len(places)), places, strict=True):
        values = {name: row[COLUMNS.index(metric)] for name, row in PUBLISHED[dataset].items()}
        _bars(axes, values, f"{PAPERS[dataset]}: {SHOWN_METRICS[metric]}", "TEMU-VTOFF", names=metric == "dists")
    return figure


def _head(part: SubFigure, title: str) -> None:
    part.suptitle(title, fontsize=16, fontweight="bold", color=INK)


def _bars(axes: Axes, values: dict[str, float], title: str, ours: str, names: bool) -> None:
    """A bar for each value, from top to bottom, with its number; ours in its own colour."""
    bars = axes.barh(list(values), list(values.values()), color=[OURS if name == ours else OTHERS for name in values])
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=12, color=INK)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=13, color=INK)
    axes.set_xlim(0, 1.25 * max(values.values()))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=12, labelcolor=INK, labelbottom=False, labelleft=names)

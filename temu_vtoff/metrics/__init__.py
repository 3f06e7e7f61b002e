"""Metrics of generated product pictures against the true ones. This file lists them; each has a file of its own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How tables show a metric, and which pictures it takes.

    Attributes:
        title: Its usual name.
        higher_is_better: Whether larger values are better.
        scale: Tables show the value times this, as the papers do.
        compares_sets: Whether it compares two sets of pictures, and not each prediction with its truth.
        least_side: Smallest width and height of the pictures, in pixels.
        needs_print: Whether it compares only a print, whose place must be known; drawn people's is.
    """

    title: str
    higher_is_better: bool
    scale: float = 100
    compares_sets: bool = False
    least_side: int = 1
    needs_print: bool = False


METRICS = {
    "ssim": Metric("SSIM", True, least_side=11),
    "ms_ssim": Metric("MS-SSIM", True, least_side=161),
    "psnr": Metric("PSNR (dB)", True, scale=1),
    "lpips": Metric("LPIPS", False, least_side=31),
    "dists": Metric("DISTS", False),
    "fid": Metric("FID", False, scale=1, compares_sets=True),
    "kid": Metric("KID", False, scale=1000, compares_sets=True),
    "clip_i": Metric("CLIP-I", True),
    "dino": Metric("DINO", True),
    "silhouette_iou": Metric("Silhouette IoU", True),
    "color_error": Metric("Colour error (ΔE)", False, scale=1),
    "print_correlation": Metric("Print correlation", True, needs_print=True),
    "letters_right": Metric("Letters right", True, needs_print=True),
}
DEFAULT_METRICS = ("ssim", "ms_ssim", "psnr", "lpips", "dists", "fid", "kid")
SET_METRICS = tuple(name for name, metric in METRICS.items() if metric.compares_sets)
CLIP_MODEL = "openai/clip-vit-base-patch32"  # both as in DreamBooth (Ruiz et al. 2023), section 5.2
DINO_MODEL = "facebook/dino-vits16"


def default_metrics(order: str) -> tuple[str, ...]:
    """The default metrics for an order. Unpaired lists name garments that nobody wears: only sets can be compared."""
    return DEFAULT_METRICS if order == "paired" else SET_METRICS

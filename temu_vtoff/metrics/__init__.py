"""How near generated product pictures come to the true ones. This file only lists the metrics; each has its own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """What a table needs to know of a metric.

    Attributes:
        title: Its usual name.
        higher_is_better: Direction.
        scale: Tables show the value times this, as the papers do.
        of_sets: Compares the two sets of pictures as wholes; otherwise each prediction with its truth.
        least_side: Pixels that pictures need on each side.
    """

    title: str
    higher_is_better: bool
    scale: float = 100
    of_sets: bool = False
    least_side: int = 1


METRICS = {
    "ssim": Metric("SSIM", True, least_side=11),
    "ms_ssim": Metric("MS-SSIM", True, least_side=161),
    "psnr": Metric("PSNR (dB)", True, scale=1),
    "lpips": Metric("LPIPS", False, least_side=31),
    "dists": Metric("DISTS", False),
    "fid": Metric("FID", False, scale=1, of_sets=True),
    "kid": Metric("KID", False, scale=1000, of_sets=True),
    "clip_i": Metric("CLIP-I", True),
    "dino": Metric("DINO", True),
    "silhouette_iou": Metric("Silhouette IoU", True),
    "color_error": Metric("Colour error (ΔE)", False, scale=1),
}
DEFAULT_METRICS = ("ssim", "ms_ssim", "psnr", "lpips", "dists", "fid", "kid")
SET_METRICS = tuple(name for name, metric in METRICS.items() if metric.of_sets)
CLIP_MODEL = "openai/clip-vit-base-patch32"  # these two as in DreamBooth (Ruiz et al. 2023), section 5.2
DINO_MODEL = "facebook/dino-vits16"


def default_metrics(order: str) -> tuple[str, ...]:
    """For a list of pairs: an unpaired list's garment is not the one worn, so that only sets can be compared."""
    return DEFAULT_METRICS if order == "paired" else SET_METRICS

"""Metrics of generated product pictures against the true ones. This file lists them; each has a file of its own."""

from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import temu_vtoff


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
        package: The package that computes it; None for this toolkit itself.
        network: The network behind it.
    """

    title: str
    higher_is_better: bool
    scale: float = 100
    compares_sets: bool = False
    least_side: int = 1
    needs_print: bool = False
    package: str | None = None
    network: str | None = None

    @property
    def implementation(self) -> str:
        """Package, its version and the network, such as "clean-fid 0.1.35, Inception-v3, clean mode"."""
        package = self.package
        if package is None:
            return f"temu-vtoff-toolkit {temu_vtoff.__version__}"
        with suppress(PackageNotFoundError):
            package += f" {version(package)}"
        return package if self.network is None else f"{package}, {self.network}"


_TORCHMETRICS = "torchmetrics"
_CLEAN_FID = {"package": "clean-fid", "network": "Inception-v3, clean mode"}

METRICS = {
    "ssim": Metric("SSIM", True, least_side=11, package=_TORCHMETRICS),
    "ms_ssim": Metric("MS-SSIM", True, least_side=161, package=_TORCHMETRICS),
    "psnr": Metric("PSNR (dB)", True, scale=1, package=_TORCHMETRICS),
    "lpips": Metric("LPIPS", False, least_side=31, package=_TORCHMETRICS, network="AlexNet"),
    "dists": Metric("DISTS", False, package="DISTS-pytorch", network="VGG-16"),
    "fid": Metric("FID", False, scale=1, compares_sets=True, **_CLEAN_FID),
    "kid": Metric("KID", False, scale=1000, compares_sets=True, **_CLEAN_FID),
    "clip_i": Metric("CLIP-I", True, package="transformers"),
    "dino": Metric("DINO", True, package="transformers"),
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

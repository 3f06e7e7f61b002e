"""Virtual try-off with two diffusion transformers (TEMU-VTOFF, arXiv 2505.21062): the library.

The public names are imported on first use, so that `import temu_vtoff` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from temu_vtoff.feature_extractor import FeatureExtractor, ReferenceFeatures
    from temu_vtoff.generator import TryOffTransformer
    from temu_vtoff.pipeline import TryOffPipeline

__version__ = "0.1.0"

_HOMES = {
    "FeatureExtractor": "temu_vtoff.feature_extractor",
    "ReferenceFeatures": "temu_vtoff.feature_extractor",
    "TryOffPipeline": "temu_vtoff.pipeline",
    "TryOffTransformer": "temu_vtoff.generator",
}
__all__ = ["FeatureExtractor", "ReferenceFeatures", "TryOffPipeline", "TryOffTransformer"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'temu_vtoff' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

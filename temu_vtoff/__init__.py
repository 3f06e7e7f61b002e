"""Virtual try-off with two diffusion transformers (TEMU-VTOFF, arXiv 2505.21062): the library.

The public names are imported on first use, so that `import temu_vtoff` costs nothing.
"""

from typing import TYPE_CHECKING

from temu_vtoff.lazy import lazy_names

if TYPE_CHECKING:
    from temu_vtoff.models.feature_extractor import FeatureExtractor, ReferenceFeatures
    from temu_vtoff.models.generator import TryOffTransformer
    from temu_vtoff.tryoff.pipeline import TryOffPipeline

__version__ = "0.1.0"
__all__ = ["FeatureExtractor", "ReferenceFeatures", "TryOffPipeline", "TryOffTransformer"]

_HOMES = {
    "FeatureExtractor": "models.feature_extractor",
    "ReferenceFeatures": "models.feature_extractor",
    "TryOffPipeline": "tryoff.pipeline",
    "TryOffTransformer": "models.generator",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)

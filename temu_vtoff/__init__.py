"""Virtual try-off with two diffusion transformers (TEMU-VTOFF, arXiv 2505.21062): the library.

The public names are imported on first use, so that `import temu_vtoff` costs nothing.
"""

from typing import TYPE_CHECKING

from temu_vtoff.lazy import lazy_names

if TYPE_CHECKING:
    from temu_vtoff.captioning.captioner import Captioner
    from temu_vtoff.errors import ArgumentError
    from temu_vtoff.finishing.finish import Finish
    from temu_vtoff.models.feature_extractor import FeatureExtractor, ReferenceFeatures
    from temu_vtoff.models.generator import TryOffTransformer
    from temu_vtoff.models.pose_guider import PoseGuider
    from temu_vtoff.models.tryon_transformer import TryOnTransformer
    from temu_vtoff.segmentation.clothing import dataset_label_map, segment_clothing
    from temu_vtoff.segmentation.folders import batch_segment_clothing
    from temu_vtoff.segmentation.segmenter import ClothSegmenter
    from temu_vtoff.stages.garment import Garment, Product
    from temu_vtoff.stages.options import Options
    from temu_vtoff.stages.quality import Quality
    from temu_vtoff.stages.selection import Selection
    from temu_vtoff.stages.tryoff import TryOff
    from temu_vtoff.stages.tryon import TryOn
    from temu_vtoff.stages.tryon_options import TryOnOptions
    from temu_vtoff.tryoff.pipeline import TryOffPipeline
    from temu_vtoff.tryoff.presets import Preset
    from temu_vtoff.tryon.pipeline import TryOnPipeline

__version__ = "0.3.0"

_HOMES = {
    "ArgumentError": "errors",
    "Captioner": "captioning.captioner",
    "ClothSegmenter": "segmentation.segmenter",
    "FeatureExtractor": "models.feature_extractor",
    "Finish": "finishing.finish",
    "Garment": "stages.garment",
    "Options": "stages.options",
    "PoseGuider": "models.pose_guider",
    "Preset": "tryoff.presets",
    "Product": "stages.garment",
    "Quality": "stages.quality",
    "ReferenceFeatures": "models.feature_extractor",
    "Selection": "stages.selection",
    "TryOff": "stages.tryoff",
    "TryOffPipeline": "tryoff.pipeline",
    "TryOffTransformer": "models.generator",
    "TryOn": "stages.tryon",
    "TryOnOptions": "stages.tryon_options",
    "TryOnPipeline": "tryon.pipeline",
    "TryOnTransformer": "models.tryon_transformer",
    "batch_segment_clothing": "segmentation.folders",
    "dataset_label_map": "segmentation.clothing",
    "segment_clothing": "segmentation.clothing",
}
__all__ = [
    "ArgumentError",
    "Captioner",
    "ClothSegmenter",
    "FeatureExtractor",
    "Finish",
    "Garment",
    "Options",
    "PoseGuider",
    "Preset",
    "Product",
    "Quality",
    "ReferenceFeatures",
    "Selection",
    "TryOff",
    "TryOffPipeline",
    "TryOffTransformer",
    "TryOn",
    "TryOnOptions",
    "TryOnPipeline",
    "TryOnTransformer",
    "batch_segment_clothing",
    "dataset_label_map",
    "segment_clothing",
]
__getattr__, __dir__ = lazy_names(__name__, _HOMES)

"""Tiny real models for the web page: the segmenter takes everything for upper-body clothes, try-on has its own."""

from pathlib import Path

from transformers import SegformerForSemanticSegmentation

from tests.tiny_models import save_tiny_qwen, save_tiny_segformer
from tests.tiny_pipeline import save_tiny_pipeline

GOLDEN_TRYON = Path(__file__).parent / "golden_tryon"


def save_page_models(folder: Path) -> list[str]:
    """Writes the three models; the flags of app.py that name them."""
    save_tiny_pipeline(folder / "tryoff")
    save_tiny_qwen(folder / "captioner")
    save_tiny_segformer(folder / "segmenter")
    segmenter = SegformerForSemanticSegmentation.from_pretrained(folder / "segmenter")
    segmenter.decode_head.classifier.bias.data[4] = 10
    segmenter.save_pretrained(folder / "segmenter")
    flags = {"pretrained_model_name_or_path": "tryoff", "tryon_model": GOLDEN_TRYON}
    flags |= {"segmentation_model": "segmenter", "caption_model": "captioner"}
    return [word for flag, name in flags.items() for word in (f"--{flag}", str(folder / name))]

"""Tiny real models for all three stages of a dataset run; the segmenter sees garments in drawn rectangles."""

from pathlib import Path
from typing import Any

import torch

from temu_vtoff.segmentation.labels import ATR, Labels
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.stages.options import Options
from tests.tiny_datasets import draw_person
from tests.tiny_models import save_tiny_qwen, save_tiny_segformer
from tests.tiny_pipeline import save_tiny_pipeline


def save_stages(folder: Path) -> Path:
    """Writes pipe/, segformer/ and qwen/."""
    save_tiny_pipeline(folder / "pipe")
    save_decided_segformer(folder / "segformer")
    save_tiny_qwen(folder / "qwen")
    return folder


def stage_options(models: Path, **options: Any) -> Options:
    """Options of the models in the folder of `save_stages`, on the CPU."""
    pipe, segmenter, captioner = (str(models / name) for name in ("pipe", "segformer", "qwen"))
    return Options(base=pipe, tryoff=pipe, segmenter=segmenter, captioner=captioner, device="cpu", **options)


def save_decided_segformer(folder: Path, labels: Labels = ATR, other: int = 6) -> None:
    """A tiny one, which sees upper clothes on about half of a photo, and another label, pants, on the rest."""
    save_tiny_segformer(folder, labels=labels)
    segmenter = ClothSegmenter.from_pretrained(folder)
    model = segmenter.model
    with torch.no_grad():
        scores = model(**segmenter.processor([draw_person("000000")], return_tensors="pt")).logits[0]
        model.decode_head.classifier.bias[4] += 100 - (scores[4] - scores[other]).median()
        model.decode_head.classifier.bias[other] += 100
    model.save_pretrained(folder)

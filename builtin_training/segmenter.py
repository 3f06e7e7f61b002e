"""The built-in segmenter: how it starts, what its training does to the pictures, and its score.

Letters: B pictures, H W size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

from builtin_training import data
from builtin_training.loop import initialize
from drawn_people.backgrounds import paint_background
from drawn_people.canvas import Canvas
from drawn_people.garments import OUTER_LABEL, UPPER_LABEL
from temu_vtoff.segmentation.labels import ATR

MAX_ROTATION = 8.0  # degrees
SCALES = (0.7, 1.25)  # of the picture's content
MAX_SHIFT = 0.12  # of the picture's size
BRIGHTNESS = (0.75, 1.25)
EMPTY_SHARE = 0.06  # share of pictures without a person; half of these are one plain colour
OVERLAP_WEIGHT = 0.5  # of the soft intersection over union beside the cross-entropy
OUTER_NAME = "Outer-clothes"  # the label after the clothes model's: worn open over another garment
LEFT_AND_RIGHT = ((9, 10), (12, 13), (14, 15))  # labels that a flip exchanges: shoes, legs, arms


def build_segmenter_processor() -> SegformerImageProcessor:
    """Resizes any photo to the size of the drawn ones."""
    return SegformerImageProcessor(size={"height": 256, "width": 192})


def build_segmenter() -> SegformerForSemanticSegmentation:
    labels = (*ATR.names, OUTER_NAME)
    config = SegformerConfig(
        hidden_sizes=[24, 48, 96, 128],
        depths=[2, 2, 2, 2],
        num_attention_heads=[1, 2, 4, 4],
        decoder_hidden_size=96,
        classifier_dropout_prob=0.0,
        drop_path_rate=0.0,
        id2label=dict(enumerate(labels)),
        label2id={name: number for number, name in enumerate(labels)},
    )
    segmenter = SegformerForSemanticSegmentation(config)
    initialize(segmenter)
    return segmenter


def start_from(segmenter: SegformerForSemanticSegmentation, folder: Path) -> None:
    """Gives a segmenter the weights of a trained one; a label that is new begins as upper clothes."""
    trained = SegformerForSemanticSegmentation.from_pretrained(folder, dtype=torch.float32).state_dict()
    for name, own in segmenter.state_dict().items():
        missing = len(own) - len(trained[name]) if own.ndim else 0
        if missing:  # the classifier's weight and bias
            trained[name] = torch.cat([trained[name], *[trained[name][UPPER_LABEL][None]] * missing])
    segmenter.load_state_dict(trained)


def overlap_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One minus the soft intersection over union, so that a narrow strip of a garment counts as much as a coat.

    Args:
        logits: (B, labels, H, W).
        labels: (B, H, W) int64.

    Returns:
        The mean over all labels that the pictures show, except the background: a scalar in [0, 1].
    """
    probability = logits.softmax(1).flatten(2)  # (B, labels, H * W)
    labels = labels.flatten(1)[:, None]  # (B, 1, H * W)
    own = probability.gather(1, labels)  # of each pixel's true label
    zeros = torch.zeros_like(probability[..., 0])
    both = zeros.scatter_add(1, labels[:, 0], own[:, 0])  # (B, labels)
    area = zeros.scatter_add(1, labels[:, 0], torch.ones_like(own[:, 0]))
    overlap = both / (area + probability.sum(2) - both)
    shown = area[:, 1:] > 0
    return (1 - overlap[:, 1:])[shown].sum() / shown.sum().clamp(min=1)


def normalize(pictures: torch.Tensor, processor: SegformerImageProcessor) -> torch.Tensor:
    """What the processor makes of pictures (B, 3, H, W) in [0, 1] that have its size already."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (processor.image_mean, processor.image_std))
    return (pictures - mean) / std


def augment(
    pictures: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flips, rotates, scales, shifts and lightens or darkens each picture; its label map moves with it.

    Args:
        pictures: (B, 3, H, W) in [0, 1].
        labels: (B, H, W) uint8.
    """
    count, _, height, width = pictures.shape

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    flip = torch.rand(count, generator=generator) < 0.5
    angle = torch.deg2rad(between(-MAX_ROTATION, MAX_ROTATION))
    scale = 1 / between(*SCALES)
    mirror = torch.where(flip, -1.0, 1.0)
    aspect = height / width
    rows = [
        torch.stack([mirror * scale * angle.cos(), -scale * angle.sin() * aspect, between(-MAX_SHIFT, MAX_SHIFT)], -1),
        torch.stack([mirror * scale * angle.sin() / aspect, scale * angle.cos(), between(-MAX_SHIFT, MAX_SHIFT)], -1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
    pictures = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    moved = F.grid_sample(labels[:, None].float(), grid, "nearest", padding_mode="border", align_corners=False)
    moved = moved[:, 0].to(torch.uint8)

    exchange = torch.arange(256, dtype=torch.uint8)
    for left, right in LEFT_AND_RIGHT:
        exchange[left], exchange[right] = right, left
    labels = torch.where(flip[:, None, None], exchange[moved.long()], moved)
    brightness = between(*BRIGHTNESS).view(-1, 1, 1, 1)
    return (pictures * brightness).clamp(0, 1), labels


def empty_some(pictures: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> None:
    """Replaces a share of the pictures, as `augment` takes them, by empty rooms or a plain colour."""
    for i in (torch.rand(len(pictures), generator=generator) < EMPTY_SHARE).nonzero().flatten().tolist():
        labels[i] = 0
        rng = np.random.default_rng(torch.randint(2**31, (), generator=generator).item())
        if rng.random() < 0.5:
            grey = rng.choice([0.0, 1.0, rng.random()])
            color = rng.random(3) if rng.random() < 0.5 else np.full(3, grey)
            pictures[i] = torch.from_numpy(color)[:, None, None]
            continue
        canvas = Canvas(pictures.shape[3], pictures.shape[2])
        canvas.place(pictures.shape[2] / 256, (0.0, 0.0))
        paint_background(canvas, rng, floor=rng.uniform(190, 280))
        pictures[i] = torch.from_numpy(canvas.rgb).permute(2, 0, 1) / 255


def garment_iou(
    segmenter: SegformerForSemanticSegmentation, processor: SegformerImageProcessor, items: list
) -> dict[str, float]:
    """Intersection over union of the garment's mask: means over the items of each category, and over categories.

    Of people with an open jacket, the jacket counts as `outer` and the category's garment as `<category>_layered`; the
    mean over categories leaves both out.
    """
    by_category: dict[str, list[float]] = {}
    for start in range(0, len(items), 32):
        batch = items[start : start + 32]
        pixels = processor([item.open_photo() for item in batch], return_tensors="pt").pixel_values
        truth = data.read_label_maps(batch, layers=True)
        logits = F.interpolate(segmenter(pixels.to(segmenter.device)).logits, truth.shape[-2:], mode="bilinear")
        labels = logits.argmax(dim=1).cpu()
        ious = overlaps(data.garment_masks(labels, batch), data.garment_masks(truth, batch))
        outer = overlaps(labels == OUTER_LABEL, truth == OUTER_LABEL)
        for i, item in enumerate(batch):
            by_category.setdefault(item.category + ("_layered" if item.layers else ""), []).append(ious[i].item())
            if item.layers:
                by_category.setdefault("outer", []).append(outer[i].item())
    means = {f"iou_{name}": sum(values) / len(values) for name, values in by_category.items()}
    single = [means[f"iou_{name}"] for name in data.CATEGORIES if f"iou_{name}" in means]
    return means | ({"iou": sum(single) / len(single)} if single else {})


def overlaps(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """(B,) intersections over unions of masks (B, H, W); two empty masks have 0."""
    return (found & wanted).sum(dim=(1, 2)) / (found | wanted).sum(dim=(1, 2)).clamp(min=1)

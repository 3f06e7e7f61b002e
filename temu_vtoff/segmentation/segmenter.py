"""Label maps of dressed people by a SegFormer; `masks` makes garments' masks of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate
from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

from temu_vtoff.errors import first_few
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.hub.loading import load_processor, load_transformers_model
from temu_vtoff.hub.sources import PUBLISHED_SEGMENTER
from temu_vtoff.segmentation.labels import Labels, understood
from temu_vtoff.segmentation.windows import cut_windows, join_windows

_MOST_LABELS = 256  # label maps are bytes
_PIXELS_AT_ONCE = 2**18  # of a label map, with 18 float32 scores each: 19 MB


class ClothSegmenter:
    """A SegFormer for clothes, loaded once and used for any number of photos.

    Attributes:
        labels: What the ids of its label maps stand for, from the names in its configuration.
    """

    def __init__(self, model: SegformerForSemanticSegmentation, processor: SegformerImageProcessor):
        self.model = model.eval()
        self.labels = Labels(tuple(name for _, name in sorted(model.config.id2label.items())))
        self.processor = processor

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = PUBLISHED_SEGMENTER,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> "ClothSegmenter":
        """
        Args:
            name_or_path: Hub id, folder, or "builtin".
            device: Device of the model; by default the CPU.
            dtype: Precision; by default float16 on a CUDA device and float32 elsewhere.

        Raises:
            HubUnreachableError: The model is not on this machine and the hub does not answer.
            CheckpointError: It can't be loaded, or has no label of clothes.
        """
        what = "the segmenter"
        model = load_transformers_model(  # before the processor, because its errors name the cause
            SegformerForSemanticSegmentation, name_or_path, what, part="segmenter", device=device, dtype=dtype
        )
        _check_labels(model.config.id2label, f"{what} {name_or_path}")
        needs = ("preprocessor_config.json",)
        processor = load_processor(
            SegformerImageProcessor, name_or_path, what, needs=needs, trial=_try_processor, part="segmenter"
        )
        return cls(model, processor)

    def label_maps(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """The label of every pixel.

        Args:
            images: Upright RGB photos of any sizes; they go through the model as one batch. Photos that are wider than
                high go in windows, see `temu_vtoff.segmentation.windows`.

        Returns:
            A label map for each photo, (H, W) at the photo's size, uint8 ids of `labels`.

        Raises:
            CheckpointError: The model's values are not finite.
        """
        windows = [cut_windows(*image.size) for image in images]
        views = [
            image if (right - left) == image.width else image.crop((left, 0, right, image.height))
            for image, places in zip(images, windows, strict=True)
            for left, right in places
        ]
        maps = []
        with torch.inference_mode():
            batches = [views[start : start + len(images)] for start in range(0, len(views), len(images) or 1)]
            scores = iter([one for batch in batches for one in self._logits(batch)])  # each (labels, h, w)
            for image, places in zip(images, windows, strict=True):
                whole = join_windows(torch.stack([next(scores) for _ in places]), places)
                maps.append(_label_map(whole, image.height, image.width).cpu().numpy())
        return maps

    def _logits(self, views: Sequence[Image.Image]) -> torch.Tensor:
        """(B, labels, h, w), float32."""
        inputs = self.processor([self._reduced(view) for view in views], return_tensors="pt")
        pixel_values = inputs["pixel_values"].to(self.model.device, self.model.dtype)
        logits = self.model(pixel_values).logits.float()
        if not logits.isfinite().all():
            dtype = str(self.model.dtype).removeprefix("torch.")
            raise CheckpointError(
                f"The segmenter's values are not finite in {dtype}: is a weight of the checkpoint damaged?"
            )
        return logits

    def _reduced(self, image: Image.Image) -> Image.Image:
        """Reduces huge photos to about four times the model's size; the processor's resize needs 60 bytes per pixel."""
        return image.reduce(max(1, min(image.size) // (4 * self.processor.size["height"])))


def _check_labels(names: dict[int, str], what: str) -> None:
    """
    Raises:
        CheckpointError: Names that are no texts, ids with gaps, too many of them, or no label that is understood.
    """
    for index, name in names.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{what} has a label that is no text: {index} is {name!r} in config.json.")
    if sorted(names) != list(range(len(names))):
        raise CheckpointError(f"{what} has labels with the ids {first_few(sorted(names))}; they must be 0, 1, 2, …")
    if len(names) > _MOST_LABELS:
        raise CheckpointError(f"{what} has {len(names)} labels; {_MOST_LABELS} at most can be used.")
    labels = Labels(tuple(names[index] for index in sorted(names)))
    if not labels.categories:
        raise CheckpointError(
            f"{what} has no label of clothes that is understood: its labels are {labels.listed()}; understood are "
            f"{understood()}."
        )


def _try_processor(processor: SegformerImageProcessor) -> str | None:
    if not processor.size.get("height") or not processor.size.get("width"):
        return "preprocessor_config.json lacks the height and width of the model's input"
    processor([Image.new("RGB", (8, 8))], return_tensors="pt")
    return None


def _label_map(logits: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Upsamples the logits to the photo's size, then takes the argmax; the other order would change 5% of the labels.

    Bilinear like `F.interpolate`, but in stripes of rows: the scores of a 48-megapixel photo take 3.5 GB.

    Args:
        logits: (labels, h, w), float32.

    Returns:
        (height, width), uint8.
    """
    h = logits.shape[1]
    across = interpolate(logits[None], size=(h, width), mode="bilinear", align_corners=False)[0]  # (labels, h, W)
    rows = ((torch.arange(height, device=logits.device) + 0.5) * (h / height) - 0.5).clamp(min=0)
    above = rows.long()
    below = (above + 1).clamp(max=h - 1)
    weight = rows - above
    labels = torch.empty(height, width, dtype=torch.uint8, device=logits.device)
    for stripe in torch.arange(height, device=logits.device).split(max(1, _PIXELS_AT_ONCE // width)):
        scores = torch.lerp(across[:, above[stripe]], across[:, below[stripe]], weight[stripe, None])
        labels[stripe] = scores.argmax(0).to(torch.uint8)
    return labels

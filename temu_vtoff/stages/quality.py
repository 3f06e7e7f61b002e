"""How far a product picture is to be trusted, judged without the true one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torchvision.transforms.functional import to_tensor

from temu_vtoff.finishing.cutting import Cutout, cut_out
from temu_vtoff.metrics.color_error import rgb_to_lab

Embed = Callable[[torch.Tensor], torch.Tensor]  # (B, 3, H, W) in [0, 1] -> (B, D)

JUDGED_HEIGHT = 256  # pixels; pictures are judged at this size, which takes 0.1 s
_QUANTILES = np.linspace(0.05, 0.95, 19)
_FAR_COLOUR = 40  # Delta E of the colours' distributions at which their part of the score falls to 1/e
_RIM = 2  # pixels at the edge of cloth, which mix it with what is behind
_DIRT = 12  # levels from the background's colour
_FINE, _COARSE = 1, 4  # pixels; blotches are larger than the one and smaller than the other
_LEAST_SSIM = 0.01  # which can be negative
_LEAST_BLOTCHES = 0.05  # Delta E, added to each; plain cloth has hardly any


@dataclass(frozen=True)
class Part:
    """A part of the score.

    Attributes:
        weight: What it counts beside the others.
        good: From here on it counts as 1, so that only what is suspicious makes a difference.
        least: Below this it is suspicious. 95 of 100 pictures of the built-in model lie above.
        doubt: In plain words.
    """

    weight: float
    good: float
    least: float
    doubt: str


# The weights were chosen on 60 drawn people that benchmarks/bench_picking.py does not use by default.
PARTS = {
    "colours": Part(1, 0.6, 0.55, "its colours differ from the photo's"),
    "evenness": Part(2, 1.0, 0.45, "its cloth is blotchy"),
    "outline": Part(1, 0.99, 0.95, "its outline is ragged or in pieces"),
    "background": Part(0.5, 0.98, 0.95, "its background is not clean"),
    "similarity": Part(0.5, 0.85, 0.75, "it doesn't look like the garment in the photo"),
    "agreement": Part(3, 1.0, 0.9, "its outline differs from that of the garment's other pictures"),
    "consensus": Part(3, 1.0, 0.85, "it differs from the garment's other pictures"),
    "caption": Part(0.5, 1.0, 0.4, "a caption of it differs from the garment's"),
}


@dataclass(frozen=True)
class Quality:
    """The score of one product picture.

    Attributes:
        score: In [0, 1], the weighted mean of the parts.
        parts: In [0, 1] each: `colours` of the garment in the photo against the picture's; `evenness` of the cloth
            beside that in the photo, which has folds; `outline` of one piece; clean `background`; `similarity` by the
            pipeline's image encoders; `agreement` of the outline with what most of the garment's pictures show;
            `consensus`, SSIM to the mean of the garment's other pictures as a share of the highest; `caption` of the
            picture against the one used. What is unknown is left out.
        doubts: What is suspicious, in plain words.
    """

    score: float
    parts: dict[str, float]
    doubts: tuple[str, ...] = ()

    @classmethod
    def of(cls, parts: dict[str, float]) -> Quality:
        """The score of the parts."""
        weight = sum(PARTS[name].weight for name in parts)
        score = sum(PARTS[name].weight * min(value / PARTS[name].good, 1) for name, value in parts.items()) / weight
        doubts = tuple(PARTS[name].doubt for name, value in parts.items() if value < PARTS[name].least)
        return cls(round(score, 4), {name: round(value, 4) for name, value in parts.items()}, doubts)

    @property
    def sentence(self) -> str:
        """The score, and what is suspicious."""
        return f"quality {self.score:.2f}" + (f": {'; '.join(self.doubts)}" if self.doubts else "")


def judge(
    images: Sequence[Image.Image],
    photo: Image.Image,
    mask: Image.Image,
    *,
    embed: Embed | None = None,
    caption: str | None = None,
    captions: Sequence[str] | None = None,
) -> list[Quality]:
    """Scores the product pictures of one garment.

    Args:
        images: RGB, one for each seed.
        photo: RGB, as the model saw it.
        mask: L, 255 on the garment, of the photo's size.
        embed: Image encoders; without them, `similarity` is unknown.
        caption: The one used.
        captions: Those of the images; without them, `caption` is unknown.
    """
    photo, mask = _small(photo), _small(mask.convert("L"), Image.Resampling.NEAREST)
    images = [_small(image) for image in images]
    worn = np.asarray(mask) > 127
    cuts = [cut_out(image) for image in images]
    shown = [cut.alpha > 0.5 for cut in cuts]
    colours, blotches = _colours(photo, worn), _blotches(photo, worn)
    likeness = [None] * len(images) if embed is None else _similarities(photo, worn, images, shown, embed)
    agreements, consensus = _agreements(shown), _consensus(images)
    qualities = []
    for number, (image, cut) in enumerate(zip(images, cuts, strict=True)):
        parts = {
            "colours": float(np.exp(-np.abs(_colours(image, shown[number]) - colours).mean(0).sum() / _FAR_COLOUR)),
            "evenness": blotches / (blotches + _blotches(image, shown[number])),
            "outline": _one_piece(shown[number]),
            "background": _cleanness(image, cut),
            "similarity": likeness[number],
            "agreement": agreements[number],
            "consensus": consensus[number],
            "caption": None if captions is None else same_phrases(caption or "", captions[number]),
        }
        qualities.append(Quality.of({name: value for name, value in parts.items() if value is not None}))
    return qualities


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two (H, W) bool masks; 1 where both are empty."""
    either = (first | second).sum()
    return float((first & second).sum() / either) if either else 1.0


def same_phrases(first: str, second: str) -> float:
    """Share of the phrases of either caption that both have: "a shirt with short sleeves, round neckline" has three."""
    phrases = [
        {phrase.strip().lower() for phrase in text.replace(" with ", ", ").split(",")} for text in (first, second)
    ]
    either = (phrases[0] | phrases[1]) - {""}
    return len(phrases[0] & phrases[1] & either) / len(either) if either else 1.0


def _small(image: Image.Image, resample: Image.Resampling = Image.Resampling.BOX) -> Image.Image:
    if image.height <= JUDGED_HEIGHT:
        return image
    return image.resize((max(8, round(image.width * JUDGED_HEIGHT / image.height)), JUDGED_HEIGHT), resample)


def _lab(image: Image.Image) -> np.ndarray:
    """(H, W, 3)."""
    return rgb_to_lab(to_tensor(image)[None])[0].permute(1, 2, 0).numpy()


def _inner(where: np.ndarray) -> np.ndarray:
    """A (H, W) bool mask without its rim; all True where there is nothing."""
    inner = ndimage.binary_erosion(where, iterations=_RIM)
    return inner if inner.any() else where if where.any() else np.ones_like(where)


def _colours(image: Image.Image, where: np.ndarray) -> np.ndarray:
    """(19, 3): quantiles of the Lab colours within a (H, W) bool mask."""
    return np.quantile(_lab(image)[_inner(where)], _QUANTILES, axis=0)


def _blotches(image: Image.Image, where: np.ndarray) -> float:
    """Mean contrast of blotches within a (H, W) bool mask, in Delta E."""
    lab = _lab(image)
    fine, coarse = (ndimage.gaussian_filter(lab, (size, size, 0)) for size in (_FINE, _COARSE))
    return float(np.abs(fine - coarse)[_inner(where)].mean()) + _LEAST_BLOTCHES


def _one_piece(shown: np.ndarray) -> float:
    """The largest part's share, times the share that is left when threads and rags are taken off."""
    if not shown.any():
        return 0.0
    parts, _ = ndimage.label(shown)
    opened = ndimage.binary_opening(np.pad(shown, 2, mode="edge"), np.ones((3, 3)))[2:-2, 2:-2]
    return float(np.bincount(parts.ravel())[1:].max() / shown.sum() * (opened.sum() / shown.sum()))


def _cleanness(image: Image.Image, cut: Cutout) -> float:
    """The share of the background that has its colour."""
    outside = cut.alpha == 0
    if not outside.any():
        return 0.0
    off = np.abs(np.asarray(image, np.float32) - cut.background.colours).max(-1)
    return float((off[outside] <= _DIRT).mean())


def _agreements(shown: Sequence[np.ndarray]) -> list[float | None]:
    """The overlap of each (H, W) bool outline with that of most pictures; with the other one where there are two."""
    if len(shown) < 3:
        return [None if len(shown) == 1 else overlap(*shown)] * len(shown)
    most = np.mean(shown, axis=0) >= 0.5
    return [overlap(outline, most) for outline in shown]


def _consensus(images: Sequence[Image.Image]) -> list[float | None]:
    """SSIM of each picture to the mean of the others, divided by the highest of these."""
    if len(images) == 1:
        return [None]
    pictures = np.stack([np.asarray(image, np.float32) / 255 for image in images])  # (n, H, W, 3)
    others = (pictures.sum(0) - pictures) / (len(images) - 1)
    values = [max(_structure(*pair), _LEAST_SSIM) for pair in zip(pictures, others, strict=True)]
    return [value / max(values) for value in values]


def _structure(first: np.ndarray, second: np.ndarray) -> float:
    """SSIM of two (H, W, 3) pictures in [0, 1], also near the border; torchmetrics, which has it too, is optional."""
    blur = partial(ndimage.gaussian_filter, sigma=(1.5, 1.5, 0), truncate=3.5)
    means = blur(first), blur(second)
    variances = blur(first**2) + blur(second**2) - means[0] ** 2 - means[1] ** 2
    covariance = blur(first * second) - means[0] * means[1]
    light = (2 * means[0] * means[1] + 0.01**2) / (means[0] ** 2 + means[1] ** 2 + 0.01**2)
    return float((light * (2 * covariance + 0.03**2) / (variances + 0.03**2)).mean())


def _similarities(
    photo: Image.Image, worn: np.ndarray, images: Sequence[Image.Image], shown: Sequence[np.ndarray], embed: Embed
) -> list[float]:
    """The cosine between the garment in the photo and each picture, both cut to the garment, on white."""
    framed = [_framed(photo, worn), *(_framed(image, mask) for image, mask in zip(images, shown, strict=True))]
    embeds = embed(torch.stack([to_tensor(picture) for picture in framed])).float().cpu()
    return torch.nn.functional.cosine_similarity(embeds[:1], embeds[1:]).clamp(0, 1).tolist()


def _framed(image: Image.Image, where: np.ndarray) -> Image.Image:
    """What a (H, W) bool mask shows of a picture, as large as it goes, in the middle of a white one of that size."""
    pixels = np.where(where[..., None], np.asarray(image), 255).astype(np.uint8)
    canvas = Image.new("RGB", image.size, "white")
    box = Image.fromarray(where).getbbox()
    if box is not None:
        garment = Image.fromarray(pixels).crop(box)
        scale = min(image.width / garment.width, image.height / garment.height)
        garment = garment.resize((max(1, round(garment.width * scale)), max(1, round(garment.height * scale))))
        canvas.paste(garment, ((image.width - garment.width) // 2, (image.height - garment.height) // 2))
    return canvas

"""The training pairs of try-on, encoded by the frozen models: beforehand into a folder, or while training.

Letters: B items, C latent channels (16), h w latent size, H W picture size, P pooled width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.data import Dataset

from temu_vtoff.hub.sources import IMAGE_ENCODERS
from temu_vtoff.training.cache_parts import add_part, fingerprint, open_parts
from temu_vtoff.training.encoding import Encoded, scaled_moments
from temu_vtoff.training.tryon_pairs import FittingBatch, FittingPairs
from temu_vtoff.tryoff.conditioning import encode_image, latent_mask
from temu_vtoff.tryoff.pipeline import TryOffPipeline
from temu_vtoff.tryon.pipeline import TryOnPipeline

FITTINGS = "fittings"  # part of a cache
GREY = 0.5


@dataclass(frozen=True)
class EncodedFittings(Encoded):
    """One batch of persons and garments. Latents are scaled and shifted as the transformers expect them.

    What the pipeline samples are means and deviations; the dressed person, which is to be predicted, is the mean.
    """

    dressed: torch.Tensor  # (B, C, h, w), the person in the garment
    masked_mean: torch.Tensor  # (B, C, h, w), the person, grey where it is repainted
    masked_std: torch.Tensor  # (B, C, h, w)
    mask: torch.Tensor  # (B, 1, h, w), 1 where it is repainted
    garment_mean: torch.Tensor  # (B, C, h, w)
    garment_std: torch.Tensor  # (B, C, h, w)
    garment_embeds: torch.Tensor  # (B, P)
    pose: torch.Tensor  # (B, 3, H, W) in [0, 1]
    has_pose: torch.Tensor  # (B,) bool; without one the pose guider adds nothing

    def drop_conditions(
        self, no_garment: torch.Tensor, no_embedding: torch.Tensor, empty: None = None
    ) -> EncodedFittings:
        """The batch with some garments replaced by those of guidance's negative branch, which are zero.

        Args:
            no_garment: (B,) bool, items that lose the garment.
            no_embedding: (B,) bool, items whose garment embedding becomes zero.
            empty: `EncodedBatch` needs the empty caption here.
        """
        no_garment, no_embedding = no_garment.to(self.mask.device), no_embedding.to(self.mask.device)
        dropped = no_garment[:, None, None, None]
        return replace(
            self,
            garment_mean=self.garment_mean.masked_fill(dropped, 0),
            garment_std=self.garment_std.masked_fill(dropped, 0),
            garment_embeds=self.garment_embeds.masked_fill((no_garment | no_embedding)[:, None], 0),
        )


class LiveFittings(Dataset):
    """As `FittingCache`, but items stay pictures until `encode`, which runs the frozen models."""

    empty_caption = None

    def __init__(self, pairs: FittingPairs, pipeline: TryOnPipeline) -> None:
        self.pairs, self.pipeline = pairs, pipeline

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, positions: Sequence[int]) -> FittingBatch:
        return self.pairs[positions]

    def encode(self, batch: FittingBatch) -> EncodedFittings:
        """Runs the frozen models on a batch of pictures."""
        return EncodedFittings(**encode_fittings(self.pipeline, batch), pose=batch.pose, has_pose=batch.has_pose)


class FittingCache(Dataset):
    """Encoded fittings on disk; indexing with a list of positions gives their `EncodedFittings`.

    Pose pictures are drawn again from the data set's joints: they would take more room than everything else.

    Args:
        folder: Made by `build_fittings`.
        pairs: The same data set.

    Raises:
        FileNotFoundError: The cache is unfinished.
        ArgumentError: A file of it is damaged.
    """

    empty_caption = None

    def __init__(self, folder: str | Path, pairs: FittingPairs) -> None:
        items, self.arrays = open_parts(Path(folder), (FITTINGS,), len(pairs))
        index_of = {item.key: index for index, item in enumerate(pairs.dataset.items)}
        self.pairs, self.indices = pairs, [index_of[key] for key in items]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, positions: Sequence[int]) -> EncodedFittings:
        arrays = {name: torch.from_numpy(rows[list(positions)]).float() for name, rows in self.arrays.items()}
        pose, has_pose = self.pairs.poses([self.indices[position] for position in positions])
        return EncodedFittings(**arrays, pose=pose, has_pose=has_pose)

    def encode(self, batch: EncodedFittings) -> EncodedFittings:
        """The batch itself, which is encoded already."""
        return batch


def build_fittings(
    folder: str | Path,
    pairs: FittingPairs,
    pipeline: TryOnPipeline,
    batch_size: int = 16,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[int]:
    """Encodes a data set's pairs into a folder, yielding the number of finished items; an interrupted build resumes.

    Raises:
        ArgumentError: The folder holds the cache of other pictures, regions, models or sizes, or is damaged.
    """
    models = [getattr(pipeline, name) for name in ("vae", *IMAGE_ENCODERS)]
    key = fingerprint(pairs, models, (pairs.dataset.size, pairs.tight))
    Path(folder).mkdir(parents=True, exist_ok=True)
    items: list[str] = []

    def encode(batch: FittingBatch, first: int) -> dict[str, torch.Tensor]:
        items[first:] = [item.key for item in batch.items]
        return encode_fittings(pipeline, batch)

    yield from add_part(
        folder, pairs, FITTINGS, key=key, encode=encode, batch_size=batch_size, autocast=autocast, items=items
    )


def encode_fittings(pipeline: TryOnPipeline, batch: FittingBatch) -> dict[str, torch.Tensor]:
    """The fields of `EncodedFittings` that come from the pipeline's VAE and image encoders."""
    with torch.no_grad():
        dressed = scaled_moments(pipeline, batch.person)[0]
    person = encode_persons(pipeline, batch.person, batch.mask)
    return {"dressed": dressed} | person | encode_garments(pipeline, batch.garment)


@torch.no_grad()
def encode_persons(
    pipeline: TryOnPipeline | TryOffPipeline, photos: torch.Tensor, masks: torch.Tensor
) -> dict[str, torch.Tensor]:
    """What the denoiser reads of photos (B, 3, H, W) in [0, 1] and masks (B, 1, H, W) of 0 and 1."""
    mean, std = scaled_moments(pipeline, torch.where(masks < 0.5, photos, GREY))
    return {"masked_mean": mean, "masked_std": std, "mask": latent_mask(masks.to(mean), mean.shape[-2:])}


@torch.no_grad()
def encode_garments(pipeline: TryOnPipeline | TryOffPipeline, garments: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the extractor reads of product pictures (B, 3, H, W) in [0, 1]."""
    mean, std = scaled_moments(pipeline, garments)
    encoders = [getattr(pipeline, name) for name in IMAGE_ENCODERS]
    embeds = encode_image(encoders, pipeline.feature_extractor, garments, rescale_twice=False)
    return {"garment_mean": mean, "garment_std": std, "garment_embeds": embeds.float()}

"""Encoding while training, for data sets too large to cache."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Dataset

from temu_vtoff.training.encoding import EncodedBatch, encode_garments, encode_pictures

if TYPE_CHECKING:
    from temu_vtoff.datasets import SampleBatch
    from temu_vtoff.training.aligner import VisionFeatures
    from temu_vtoff.training.pairs import PairDataset
    from temu_vtoff.tryoff.pipeline import TryOffPipeline

REMEMBERED = 512  # captions whose embeddings are kept; 2.5 MB each for the published model


class LiveEncoding(Dataset):
    """As `LatentCache`, but items stay pictures until `encode`, which runs the frozen models.

    Args:
        pictures: The data set.
        pipeline: The frozen models.
        vit: Computes the tokens that the generator is aligned with; None without alignment.
    """

    batch_class: type[EncodedBatch] = EncodedBatch

    def __init__(self, pictures: PairDataset, pipeline: TryOffPipeline, vit: VisionFeatures | None = None) -> None:
        self.pictures, self.pipeline, self.vit = pictures, pipeline, vit
        self.embed = lru_cache(REMEMBERED)(self._embed)
        self.empty_caption = self.embed("")

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, items: Sequence[int]) -> SampleBatch:
        return self.pictures[items]

    def encode(self, batch: SampleBatch) -> EncodedBatch:
        """Runs the frozen models on a batch of pictures."""
        texts = [self.embed(caption or "") for caption in batch.captions]
        prompt, pooled = (torch.cat(part) for part in zip(*texts, strict=True))
        return self.batch_class(**self.encode_fields(batch), prompt_embeds=prompt, pooled_prompt_embeds=pooled)

    def encode_fields(self, batch: SampleBatch) -> dict[str, torch.Tensor]:
        """The fields of `EncodedBatch` that come from the pictures."""
        garments = encode_garments(self.vit, batch) if self.vit is not None else {}
        return encode_pictures(self.pipeline, batch) | garments

    @torch.no_grad()
    def _embed(self, caption: str) -> tuple[torch.Tensor, torch.Tensor]:
        prompt, pooled = self.pipeline.encode_captions([caption])
        return prompt.float(), pooled.float()

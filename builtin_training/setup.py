"""The pieces of a training of the built-in transformers: the library's, extended by `BuiltinSettings`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from accelerate import DistributedType

from builtin_training.correspondence_loss import CorrespondenceLoss
from builtin_training.garment_regressor import GarmentRegressor
from builtin_training.muon import make_muon
from builtin_training.objective import BuiltinObjective
from builtin_training.pairs import DrawnBatch, DrawnLiveEncoding, DrawnPairs, EncodedDrawnBatch
from builtin_training.patches import with_smaller_patches
from builtin_training.settings import BuiltinSettings
from temu_vtoff.errors import ArgumentError
from temu_vtoff.training.cache_parts import add_part, fingerprint
from temu_vtoff.training.objectives import ExtractorObjective, GeneratorObjective
from temu_vtoff.training.tryoff_setup import TryOffSetup
from temu_vtoff.tryoff.pipeline import TryOffPipeline

COORDS = "coordinates"  # part of a cache


class BuiltinSetup(TryOffSetup):
    """See `TryOffSetup`."""

    settings: BuiltinSettings
    batch_class = EncodedDrawnBatch

    def load_pipeline(self) -> TryOffPipeline:
        """As for train.py; the transformers that the stage trains are converted to `patch_size`."""
        pipeline, side = super().load_pipeline(), self.settings.patch_size
        if side is not None and not self.settings.from_scratch:
            for name in self.trained:
                pipeline.register_modules(**{name: with_smaller_patches(getattr(pipeline, name), side)})
        return pipeline

    def make_objective(self) -> ExtractorObjective | GeneratorObjective:
        """As for train.py, with the losses of `BuiltinSettings`."""
        settings, objective = self.settings, super().make_objective()
        if settings.stage == "extractor":
            return objective
        extractor, generator = self.pipeline.transformer_vton, self.pipeline.transformer
        regressor = correspondence = None
        if settings.regress_weight:
            regressor = GarmentRegressor(extractor, generator.config.out_channels)
        if settings.correspondence_weight:
            correspondence = CorrespondenceLoss(generator, settings.correspondence_block, extractor.config.patch_size)
        return BuiltinObjective(
            objective,
            regressor=regressor,
            regress_weight=settings.regress_weight,
            correspondence=correspondence,
            correspondence_weight=settings.correspondence_weight,
        )

    def open_pairs(self, phase: str) -> DrawnPairs:
        """With coordinates if attention is supervised; `random_flip` mirrors training pairs too."""
        settings = self.settings
        return DrawnPairs(
            super().open_pairs(phase).dataset,
            correspondence_dir=settings.correspondence_dir if settings.correspondence_weight else None,
            with_mirrored=settings.random_flip and phase == "train",
        )

    def encode_live(self, pairs: DrawnPairs) -> DrawnLiveEncoding:
        return DrawnLiveEncoding(pairs, self.pipeline, self.vit)

    def cache_parts(self, pairs: DrawnPairs) -> dict[str, Iterator[int]]:
        parts = super().cache_parts(pairs)
        if pairs.correspondence_dir is not None:
            parts[COORDS] = add_coords(pairs, **self.encoding)
        return parts

    def make_optimizer(self, objective: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW or Muon.

        Raises:
            ArgumentError: Muon with FSDP or DeepSpeed, which shard matrices.
        """
        if self.settings.optimizer == "adamw":
            return super().make_optimizer(objective)
        if self.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
            raise ArgumentError(
                "{optimizer} muon needs whole matrices, which FSDP and DeepSpeed shard: choose adamw.", "optimizer"
            )
        return make_muon(objective, self.settings.adamw)


def add_coords(pairs: DrawnPairs, **encoding: object) -> Iterator[int]:
    """Adds the coordinates to a cache of the same data set, yielding the number of finished items.

    Args:
        encoding: Arguments of `add_part`.
    """

    def encode(batch: DrawnBatch, first: int) -> dict[str, torch.Tensor]:
        return {"coords": batch.coords}

    key = fingerprint(pairs, [], [pairs.correspondence_dir])
    yield from add_part(pairs=pairs, part=COORDS, key=key, encode=encode, **encoding)

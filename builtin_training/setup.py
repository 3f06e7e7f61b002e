"""Builds the pieces of a training of the built-in transformers: the library's, extended by `BuiltinSettings`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from accelerate import Accelerator, DistributedType

from builtin_training.correspondence_loss import CorrespondenceLoss
from builtin_training.garment_regressor import GarmentRegressor
from builtin_training.muon import make_muon
from builtin_training.objective import BuiltinObjective
from builtin_training.pairs import DrawnBatch, DrawnLiveEncoding, DrawnPairs, EncodedDrawnBatch
from builtin_training.patches import with_smaller_patches
from builtin_training.settings import BuiltinSettings
from temu_vtoff import training
from temu_vtoff.errors import ArgumentError
from temu_vtoff.training.aligner import VisionFeatures
from temu_vtoff.training.latent_cache import LatentCache, add_part, fill_cache, fingerprint
from temu_vtoff.training.objectives import ExtractorObjective, GeneratorObjective
from temu_vtoff.training.setup import TRAINED, cache_parts
from temu_vtoff.tryoff.pipeline import TryOffPipeline

COORDS = "coordinates"  # part of a cache


def load_pipeline(settings: BuiltinSettings, accelerator: Accelerator) -> TryOffPipeline:
    """As for train.py; the transformers that the stage trains are converted to `patch_size`."""
    pipeline = training.load_pipeline(settings, accelerator)
    if settings.patch_size is not None and not settings.from_scratch:
        for name in TRAINED[settings.stage]:
            smaller = with_smaller_patches(getattr(pipeline, name), settings.patch_size)
            pipeline.register_modules(**{name: smaller.to(accelerator.device)})
    return pipeline


def make_objective(
    settings: BuiltinSettings, pipeline: TryOffPipeline, vit: VisionFeatures | None
) -> ExtractorObjective | GeneratorObjective:
    """As for train.py, with the losses of `BuiltinSettings`."""
    objective = training.make_objective(settings, pipeline, vit)
    if settings.stage == "extractor":
        return objective
    extractor, generator = pipeline.transformer_vton, pipeline.transformer
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


def open_pairs(settings: BuiltinSettings, pipeline: TryOffPipeline, phase: str) -> DrawnPairs:
    """The pairs of one split, with coordinates if attention is supervised; `random_flip` mirrors training pairs too."""
    return DrawnPairs(
        training.open_pairs(settings, pipeline, phase).dataset,
        correspondence_dir=settings.correspondence_dir if settings.correspondence_weight else None,
        with_mirrored=settings.random_flip and phase == "train",
    )


def open_test(settings: BuiltinSettings, pipeline: TryOffPipeline, vit: VisionFeatures | None) -> DrawnLiveEncoding:
    """The items of the test split, encoded on the fly."""
    return DrawnLiveEncoding(open_pairs(settings, pipeline, "test"), pipeline, vit)


def load_data(
    settings: BuiltinSettings, pipeline: TryOffPipeline, vit: VisionFeatures | None, accelerator: Accelerator
) -> LatentCache | DrawnLiveEncoding:
    """The training items: encoded beforehand into the cache folder, or on the fly."""
    pairs = open_pairs(settings, pipeline, "train")
    if settings.cache_dir is None:
        return DrawnLiveEncoding(pairs, pipeline, vit)
    parts = cache_parts(settings, pairs, pipeline, vit, autocast=accelerator.autocast)
    if pairs.correspondence_dir is not None:
        parts[COORDS] = add_coords(settings.cache_dir, pairs, settings.encode_batch_size)
    fill_cache(parts, len(pairs), accelerator)
    return LatentCache(settings.cache_dir, tuple(parts), EncodedDrawnBatch)


def add_coords(folder: str, pairs: DrawnPairs, batch_size: int) -> Iterator[int]:
    """Adds the coordinates to a cache of the same data set, yielding the number of finished items."""

    def encode(batch: DrawnBatch, first: int) -> dict[str, torch.Tensor]:
        return {"coords": batch.coords}

    key = fingerprint(pairs, [], [pairs.correspondence_dir])
    yield from add_part(folder, pairs, COORDS, key=key, encode=encode, batch_size=batch_size)


def make_optimizer(
    settings: BuiltinSettings, objective: torch.nn.Module, accelerator: Accelerator
) -> torch.optim.Optimizer:
    """AdamW or Muon.

    Raises:
        ArgumentError: Muon with FSDP or DeepSpeed, which shard matrices.
    """
    if settings.optimizer == "adamw":
        return training.make_optimizer(objective.parameters(), **settings.adamw)
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        raise ArgumentError(
            "{optimizer} muon needs whole matrices, which FSDP and DeepSpeed shard: choose adamw.", "optimizer"
        )
    return make_muon(objective, settings.adamw)

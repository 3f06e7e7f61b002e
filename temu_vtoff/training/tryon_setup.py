"""The pieces of a training of try-on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from temu_vtoff.builtin import resolve
from temu_vtoff.hub.sources import IMAGE_ENCODERS
from temu_vtoff.training.setup import Setup
from temu_vtoff.training.tryon_data import FITTINGS, FittingCache, LiveFittings, build_fittings
from temu_vtoff.training.tryon_initialization import load_frozen, load_models, new_models
from temu_vtoff.training.tryon_objective import TryOnObjective
from temu_vtoff.training.tryon_pairs import FittingPairs, open_fittings
from temu_vtoff.training.validation import TryOnValidation
from temu_vtoff.tryon.pipeline import TryOnPipeline


class TryOnSetup(Setup):
    """See `Setup`."""

    validation_class = TryOnValidation
    trained = ("transformer_garm", "transformer_vton", "pose_guider")  # in the order of `TryOnObjective`

    def load_pipeline(self) -> TryOnPipeline:
        settings = self.settings
        parts = load_frozen(**self.frozen_source)
        if settings.from_scratch:
            models = new_models(settings.shape, parts)
        else:
            models = load_models(
                settings.pretrained_model_name_or_path, settings.pretrained_model_name_or_path_sd3_tryoff
            )
        return TryOnPipeline(**parts | dict(zip(self.trained, models, strict=True)))

    def make_objective(self) -> TryOnObjective:
        self.freeze()
        flow = self.settings.flow(self.pipeline.scheduler.config.shift)
        return TryOnObjective(*(getattr(self.pipeline, name) for name in self.trained), flow=flow)

    def open_pairs(self, phase: str) -> FittingPairs:
        settings = self.settings
        dataset = open_fittings(settings.dataset_name, settings.dataset_root, phase, self.size, settings.category)
        return FittingPairs(dataset, tight=settings.region == "tight")

    def encode_live(self, pairs: FittingPairs) -> LiveFittings:
        return LiveFittings(pairs, self.pipeline)

    def cache_parts(self, pairs: FittingPairs) -> dict[str, Iterator[int]]:
        return {FITTINGS: build_fittings(pairs=pairs, pipeline=self.pipeline, **self.encoding)}

    def open_cache(self, pairs: FittingPairs, parts: Sequence[str]) -> FittingCache:
        return FittingCache(self.settings.cache_dir, pairs)

    def exported(self) -> Sequence[str]:
        base = Path(resolve(self.settings.pretrained_model_name_or_path, "tryoff"))
        own = [name for name in (*IMAGE_ENCODERS, "feature_extractor") if (base / name).is_dir()]
        return (*self.trained, "vae", *own)  # the others are found elsewhere

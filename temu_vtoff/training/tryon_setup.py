"""Builds the pieces of a training of try-on from its settings; `setup` has those of try-off."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from accelerate import Accelerator

from temu_vtoff.builtin import resolve
from temu_vtoff.hardware.devices import DTYPES
from temu_vtoff.hub.sources import IMAGE_ENCODERS
from temu_vtoff.training.export import Exporter
from temu_vtoff.training.latent_cache import fill_cache
from temu_vtoff.training.settings import TrainingSettings
from temu_vtoff.training.tryon_data import FITTINGS, FittingCache, LiveFittings, build_fittings
from temu_vtoff.training.tryon_initialization import load_frozen, load_models, new_models
from temu_vtoff.training.tryon_objective import TryOnObjective
from temu_vtoff.training.tryon_pairs import FittingPairs, open_fittings
from temu_vtoff.training.validation import TryOnValidation
from temu_vtoff.tryon.pipeline import TryOnPipeline

TRAINED = ("transformer_garm", "transformer_vton", "pose_guider")  # in the order of `TryOnObjective`


def load_pipeline(settings: TrainingSettings, accelerator: Accelerator) -> TryOnPipeline:
    """The frozen models, on a GPU in the training's precision, and the trained ones as they start, in float32."""
    half = DTYPES[accelerator.mixed_precision] if accelerator.device.type == "cuda" else torch.float32
    encoders = {name: getattr(settings, name) for name in IMAGE_ENCODERS}
    parts = load_frozen(settings.pretrained_model_name_or_path, encoders, torch_dtype=half)
    if settings.from_scratch:
        models = new_models(settings.shape, parts)
    else:
        models = load_models(settings.pretrained_model_name_or_path, settings.pretrained_model_name_or_path_sd3_tryoff)
    if settings.shift is not None:
        parts["scheduler"].register_to_config(shift=settings.shift)
    pipeline = TryOnPipeline(**parts | dict(zip(TRAINED, models, strict=True)))
    pipeline.vae.to(memory_format=torch.channels_last)
    return pipeline.to(accelerator.device)


def make_objective(settings: TrainingSettings, pipeline: TryOnPipeline) -> TryOnObjective:
    """Flow matching, with gradients for extractor, denoiser and pose guider."""
    for name, part in pipeline.components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        part.requires_grad_(name in TRAINED)
        if name in TRAINED:
            part.train()
            if settings.gradient_checkpointing and name != "pose_guider":
                part.enable_gradient_checkpointing()
    flow = settings.flow(pipeline.scheduler.config.shift)
    return TryOnObjective(*(getattr(pipeline, name) for name in TRAINED), flow=flow)


def open_pairs(settings: TrainingSettings, pipeline: TryOnPipeline, phase: str) -> FittingPairs:
    """The pairs of one split, at the pipeline's size, or at width x height if given."""
    size = pipeline.working_size.choose(settings.width, settings.height)
    dataset = open_fittings(settings.dataset_name, settings.dataset_root, phase, size, settings.category)
    return FittingPairs(dataset, tight=settings.region == "tight")


def open_test(settings: TrainingSettings, pipeline: TryOnPipeline) -> LiveFittings:
    """The items of the test split, encoded on the fly."""
    return LiveFittings(open_pairs(settings, pipeline, "test"), pipeline)


def load_data(
    settings: TrainingSettings, pipeline: TryOnPipeline, accelerator: Accelerator
) -> FittingCache | LiveFittings:
    """The training items: encoded beforehand into the cache folder, or on the fly."""
    pairs = open_pairs(settings, pipeline, "train")
    if settings.cache_dir is None:
        return LiveFittings(pairs, pipeline)
    how = {"batch_size": settings.encode_batch_size, "autocast": accelerator.autocast}
    fill_cache({FITTINGS: build_fittings(settings.cache_dir, pairs, pipeline, **how)}, len(pairs), accelerator)
    return FittingCache(settings.cache_dir, pairs)


def make_validation(
    settings: TrainingSettings,
    pipeline: TryOnPipeline,
    objective: torch.nn.Module,
    data: LiveFittings,
    autocast: Callable[[], AbstractContextManager],
) -> TryOnValidation:
    """The validation on the first items of the test split."""
    return TryOnValidation(
        objective,
        data,
        num_items=settings.num_validation_items,
        num_images=settings.num_validation_images,
        pipeline=pipeline,
        steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        seed=settings.seed,
        batch_size=settings.train_batch_size,
        autocast=autocast,
    )


def make_exporter(settings: TrainingSettings, pipeline: TryOnPipeline) -> Exporter:
    """Writes the trained models, and those of the others that try_on.py does not find elsewhere."""
    base = Path(resolve(settings.pretrained_model_name_or_path, "tryoff"))
    own = [name for name in (*IMAGE_ENCODERS, "feature_extractor") if (base / name).is_dir()]
    models = {name: getattr(pipeline, name) for name in (*TRAINED, "vae", *own)}
    return Exporter(models, pipeline.scheduler, DTYPES[settings.save_dtype])

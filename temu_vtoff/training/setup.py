"""Builds the pieces of a training from its settings: models, objective, data, validation, export. For try-on they are
those of `tryon_setup`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from accelerate import Accelerator
from diffusers import ModelMixin

from temu_vtoff.hardware.devices import DTYPES
from temu_vtoff.models.feature_extractor import FeatureExtractor
from temu_vtoff.training import tryon_setup
from temu_vtoff.training.aligner import Aligner, VisionFeatures
from temu_vtoff.training.export import Exporter
from temu_vtoff.training.initialization import add_lora, load_frozen, load_transformers, new_transformers
from temu_vtoff.training.latent_cache import (
    GARMENT_TOKENS,
    PICTURES,
    LatentCache,
    add_garment_tokens,
    build_cache,
    fill_cache,
)
from temu_vtoff.training.live_encoding import LiveEncoding
from temu_vtoff.training.objectives import ExtractorObjective, GeneratorObjective
from temu_vtoff.training.pairs import PairDataset, open_split
from temu_vtoff.training.person_denoiser import PersonDenoiser
from temu_vtoff.training.settings import TrainingSettings
from temu_vtoff.training.tryon_data import FittingCache, LiveFittings
from temu_vtoff.training.tryon_objective import TryOnObjective
from temu_vtoff.training.validation import Validation
from temu_vtoff.tryoff.pipeline import TryOffPipeline
from temu_vtoff.tryon.pipeline import TryOnPipeline

TRAINED = {  # components of the pipeline, by stage
    "extractor": ("transformer_vton",),
    "generator": ("transformer",),
    "joint": ("transformer", "transformer_vton"),
}


def load_pipeline(settings: TrainingSettings, accelerator: Accelerator) -> TryOffPipeline | TryOnPipeline:
    """The frozen models, on a GPU in the training's precision, and both transformers as they start, in float32."""
    if settings.task == "try_on":
        return tryon_setup.load_pipeline(settings, accelerator)
    half = DTYPES[accelerator.mixed_precision] if accelerator.device.type == "cuda" else torch.float32
    encoders = {name: getattr(settings, name) for name in ("image_encoder_large", "image_encoder_bigG")}
    parts = load_frozen(settings.pretrained_model_name_or_path, encoders, torch_dtype=half)
    extractor_class = PersonDenoiser if settings.stage == "extractor" else FeatureExtractor
    extractor_source = settings.pretrained_extractor_name_or_path
    if settings.from_scratch:
        extractor, generator = new_transformers(settings.shape, parts, extractor_class)
        if extractor_source is not None:
            extractor = extractor_class.from_pretrained(extractor_source, subfolder="transformer_vton")
    else:
        extractor, generator = load_transformers(
            extractor_class,
            base=settings.pretrained_model_name_or_path,
            tryoff=settings.pretrained_model_name_or_path_sd3_tryoff,
            extractor_source=extractor_source,
        )
    if settings.lora_rank is not None:
        add_lora(generator, settings.lora_rank)
    if settings.correct_clip_input:
        parts["rescale_clip_input_twice"] = False
    if settings.shift is not None:
        parts["scheduler"].register_to_config(shift=settings.shift)
    pipeline = TryOffPipeline(**parts | {"transformer": generator, "transformer_vton": extractor})
    pipeline.vae.to(memory_format=torch.channels_last)  # encodes faster, on GPUs and on CPUs
    return pipeline.to(accelerator.device)


def freeze(pipeline: TryOffPipeline, settings: TrainingSettings) -> None:
    """Turns gradients off for all models but the transformers of the stage. (`add_lora` has frozen its generator.)"""
    trained = TRAINED[settings.stage]
    for name, part in pipeline.components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        if name not in trained:
            part.requires_grad_(False)
            continue
        part.train()
        if settings.gradient_checkpointing:
            part.enable_gradient_checkpointing()


def load_vision_features(settings: TrainingSettings, device: torch.device) -> VisionFeatures | None:
    """The vision transformer to align with; None without alignment."""
    if not settings.align_weight or settings.stage == "extractor":
        return None
    return VisionFeatures.from_pretrained(settings.align_model, settings.align_size).to(device)


def make_objective(
    settings: TrainingSettings, pipeline: TryOffPipeline, vit: VisionFeatures | None
) -> ExtractorObjective | GeneratorObjective | TryOnObjective:
    """The stage's losses, with gradients for the models that it trains."""
    if settings.task == "try_on":
        return tryon_setup.make_objective(settings, pipeline)
    freeze(pipeline, settings)
    flow = settings.flow(pipeline.scheduler.config.shift)
    if settings.stage == "extractor":
        return ExtractorObjective(pipeline.transformer_vton, flow)
    generator = pipeline.transformer
    aligner = None
    if vit is not None:
        aligner = Aligner.for_vision_features(generator, vit, settings.align_block)
    return GeneratorObjective(
        pipeline.transformer_vton, generator, flow, aligner=aligner, align_weight=settings.align_weight
    )


def open_pairs(settings: TrainingSettings, pipeline: TryOffPipeline, phase: str) -> PairDataset:
    """The pairs of one split, at the pipeline's size, or at width x height if given."""
    dataset = open_split(
        settings.dataset_name,
        settings.dataset_root,
        phase,
        size=pipeline.working_size.choose(settings.width, settings.height),
        category=settings.category,
        caption_files=settings.caption_file,
        mask_dir=settings.mask_dir,
    )
    return PairDataset(dataset)


def open_test(
    settings: TrainingSettings, pipeline: TryOffPipeline, vit: VisionFeatures | None
) -> LiveEncoding | LiveFittings:
    """The items of the test split, encoded on the fly."""
    if settings.task == "try_on":
        return tryon_setup.open_test(settings, pipeline)
    return LiveEncoding(open_pairs(settings, pipeline, "test"), pipeline, vit)


def load_data(
    settings: TrainingSettings, pipeline: TryOffPipeline, vit: VisionFeatures | None, accelerator: Accelerator
) -> LatentCache | LiveEncoding | FittingCache | LiveFittings:
    """The training items: encoded beforehand into the cache folder, or on the fly."""
    if settings.task == "try_on":
        return tryon_setup.load_data(settings, pipeline, accelerator)
    pairs = open_pairs(settings, pipeline, "train")
    if settings.cache_dir is None:
        return LiveEncoding(pairs, pipeline, vit)
    parts = cache_parts(settings, pairs, pipeline, vit, autocast=accelerator.autocast)
    fill_cache(parts, len(pairs), accelerator)
    return LatentCache(settings.cache_dir, tuple(parts))


def cache_parts(
    settings: TrainingSettings,
    pairs: PairDataset,
    pipeline: TryOffPipeline,
    vit: VisionFeatures | None,
    autocast: Callable[[], AbstractContextManager],
) -> dict[str, Iterator[int]]:
    """The builds of a cache's parts by name; nothing is encoded before `fill_cache`."""
    how = {"batch_size": settings.encode_batch_size, "autocast": autocast}
    parts = {PICTURES: build_cache(settings.cache_dir, pairs, pipeline, **how)}
    if vit is not None:
        parts[GARMENT_TOKENS] = add_garment_tokens(settings.cache_dir, pairs, vit, **how)
    return parts


def make_validation(
    settings: TrainingSettings,
    pipeline: TryOffPipeline,
    objective: torch.nn.Module,
    data: LiveEncoding,
    autocast: Callable[[], AbstractContextManager],
) -> Validation:
    """The validation on the first items of the test split; stage 1 generates no pictures."""
    if settings.task == "try_on":
        return tryon_setup.make_validation(settings, pipeline, objective, data, autocast)
    return Validation(
        objective,
        data,
        num_items=settings.num_validation_items,
        num_images=settings.num_validation_images,
        pipeline=pipeline if settings.stage != "extractor" else None,
        steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        seed=settings.seed,
        batch_size=settings.train_batch_size,
        autocast=autocast,
    )


def make_exporter(settings: TrainingSettings, pipeline: TryOffPipeline) -> Exporter:
    """Writes the trained models, and the others that inference needs."""
    if settings.task == "try_on":
        return tryon_setup.make_exporter(settings, pipeline)
    models: dict[str, ModelMixin] = {"transformer_vton": pipeline.transformer_vton}
    if settings.stage != "extractor":
        models["transformer"] = pipeline.transformer
    return Exporter(models, pipeline.scheduler, DTYPES[settings.save_dtype])

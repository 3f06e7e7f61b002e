"""The pieces of a training, built from its settings: what both tasks have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import Dataset

from temu_vtoff.hardware.devices import DTYPES
from temu_vtoff.hub.sources import IMAGE_ENCODERS
from temu_vtoff.training.cache_parts import fill_cache
from temu_vtoff.training.export import Exporter
from temu_vtoff.training.optimization import make_optimizer
from temu_vtoff.training.pairs import PairDataset
from temu_vtoff.training.settings import TrainingSettings
from temu_vtoff.training.validation import Validation
from temu_vtoff.tryoff.pipeline import TryOffPipeline
from temu_vtoff.tryon.pipeline import TryOnPipeline


class Setup(ABC):
    """Models, objective, data, optimizer, validation and export of a training.

    Args:
        settings: All settings of the training.
        accelerator: Its devices and precision.

    Attributes:
        pipeline: The frozen models, on a GPU in the training's precision, and the trained ones as they start, in
            float32.
        trained: Names of the pipeline's components that are trained.
    """

    validation_class: ClassVar[type[Validation]]
    trained: Sequence[str]

    def __init__(self, settings: TrainingSettings, accelerator: Accelerator) -> None:
        self.settings, self.accelerator = settings, accelerator
        self.pipeline = self.load_pipeline()
        if settings.shift is not None:
            self.pipeline.scheduler.register_to_config(shift=settings.shift)
        self.pipeline.vae.to(memory_format=torch.channels_last)  # encodes faster, on GPUs and on CPUs
        self.pipeline.to(accelerator.device)

    @abstractmethod
    def load_pipeline(self) -> TryOffPipeline | TryOnPipeline:
        """See `pipeline`; on the CPU."""

    @abstractmethod
    def make_objective(self) -> nn.Module:
        """The losses, with gradients for the models that are trained."""

    @abstractmethod
    def open_pairs(self, phase: str) -> PairDataset:
        """The pairs of one split, at the pipeline's size, or at width x height if given."""

    @abstractmethod
    def encode_live(self, pairs: PairDataset) -> Dataset:
        """Pairs that are encoded while training."""

    @abstractmethod
    def cache_parts(self, pairs: PairDataset) -> dict[str, Iterator[int]]:
        """The builds of a cache's parts by name; nothing is encoded before `fill_cache`."""

    @abstractmethod
    def open_cache(self, pairs: PairDataset, parts: Sequence[str]) -> Dataset:
        """Pairs that were encoded beforehand, from the finished parts of a cache."""

    @abstractmethod
    def exported(self) -> Sequence[str]:
        """Names of the pipeline's components that inference needs besides those of other sources."""

    @property
    def frozen_source(self) -> dict[str, Any]:
        """Where the frozen models come from: arguments of both tasks' `load_frozen`."""
        on_gpu = self.accelerator.device.type == "cuda"
        return {
            "base": self.settings.pretrained_model_name_or_path,
            "encoders": {name: getattr(self.settings, name) for name in IMAGE_ENCODERS},
            "torch_dtype": DTYPES[self.accelerator.mixed_precision] if on_gpu else torch.float32,
        }

    @property
    def encoding(self) -> dict[str, Any]:
        """How a cache is built: common arguments of the builds of its parts."""
        return {
            "folder": self.settings.cache_dir,
            "batch_size": self.settings.encode_batch_size,
            "autocast": self.accelerator.autocast,
        }

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        return self.pipeline.working_size.choose(self.settings.width, self.settings.height)

    def freeze(self) -> None:
        """Turns gradients off for all models but the trained ones. (`add_lora` has frozen its generator.)"""
        for name, part in self.pipeline.components.items():
            if not isinstance(part, nn.Module):
                continue
            if name not in self.trained:
                part.requires_grad_(False)
                continue
            part.train()
            if self.settings.gradient_checkpointing and part._supports_gradient_checkpointing:
                part.enable_gradient_checkpointing()

    def open_test(self) -> Dataset:
        """The items of the test split, encoded while training."""
        return self.encode_live(self.open_pairs("test"))

    def load_data(self) -> Dataset:
        """The training items: encoded beforehand into the cache folder, which may take hours, or while training."""
        pairs = self.open_pairs("train")
        if self.settings.cache_dir is None:
            return self.encode_live(pairs)
        parts = self.cache_parts(pairs)
        fill_cache(parts, len(pairs), self.accelerator)
        return self.open_cache(pairs, tuple(parts))

    def make_optimizer(self, objective: nn.Module) -> torch.optim.Optimizer:
        """AdamW."""
        return make_optimizer(objective.parameters(), **self.settings.adamw)

    def make_validation(self, objective: nn.Module, test: Dataset) -> Validation:
        """The validation on the first items of the test split."""
        settings = self.settings
        return self.validation_class(
            objective,
            test,
            num_items=settings.num_validation_items,
            num_images=settings.num_validation_images,
            pipeline=self.pipeline if settings.stage != "extractor" else None,  # stage 1 makes no pictures
            steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            seed=settings.seed,
            batch_size=settings.train_batch_size,
            autocast=self.accelerator.autocast,
        )

    def make_exporter(self) -> Exporter:
        """Writes the trained models, and the others that inference needs."""
        models = {name: getattr(self.pipeline, name) for name in self.exported()}
        return Exporter(models, self.pipeline.scheduler, DTYPES[self.settings.save_dtype])

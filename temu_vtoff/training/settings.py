"""All settings of a training with their defaults. It doesn't import torch, so that `--help` is fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from temu_vtoff.datasets import DATASETS
from temu_vtoff.errors import ArgumentError, check_choice, check_least
from temu_vtoff.hardware import PRECISIONS
from temu_vtoff.hub.sources import PUBLISHED_BASE
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.tryon_options import REGIONS
from temu_vtoff.tryoff.presets import GUIDANCE_SCALE, PRESETS

TASKS = ("try_off", "try_on")
STAGES = ("extractor", "generator", "joint")  # of try-off
TIMESTEP_SAMPLINGS = ("logit_normal", "uniform", "mode")
LOSS_WEIGHTINGS = ("none", "sigma_sqrt", "cosmap")
TRACKERS = ("tensorboard", "wandb", "none")
PUBLISHED_VIT = "facebook/dinov2-base"  # the paper's vision transformer
PUBLISHED_ALIGN_SIZE = 448  # pixels along each side of its input
PUBLISHED_BLOCK = 8  # of the generator's 24 blocks, counted from 1
OF_TRY_OFF = ("stage", "pretrained_extractor_name_or_path", "lora_rank", "align_weight", "caption_file", "mask_dir")
# Each maps the share of steps done, from 0 to 1, to a factor of the peak learning rate.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "linear": lambda done: 1 - done,
    "constant": lambda done: 1.0,
}
Settings = TypeVar("Settings", bound="TrainingSettings")


@dataclass(frozen=True)
class FlowSettings:
    """How flow matching draws its times and weights its loss.

    Attributes:
        sampling: One of `TIMESTEP_SAMPLINGS`; "logit_normal" uses the mean and the deviation below.
        shift: Moves times towards noise, t -> shift t / (1 + (shift - 1) t), as the sampler's `shift` does.
        weighting: One of `LOSS_WEIGHTINGS`.
    """

    sampling: str = "logit_normal"
    logit_mean: float = 0.0
    logit_std: float = 1.0
    shift: float = 1.0
    weighting: str = "none"


@dataclass(frozen=True)
class ConditionDropout:
    """Probabilities, per item, that conditions are dropped: all of them, and further items' caption or image embedding.

    Dropping captions often keeps the text from deciding what the photo should decide, the shape above all.
    """

    everything: float = 0.1
    caption: float = 0.25
    image_embedding: float = 0.0


@dataclass(frozen=True)
class TransformerShape:
    """The shape of both transformers with fresh weights; the defaults are the built-in model's."""

    sample_size: int = 32
    patch_size: int = 2
    num_layers: int = 6
    num_attention_heads: int = 3
    attention_head_dim: int = 64
    pos_embed_max_size: int = 24
    qk_norm: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Length, learning rate and intervals of a run, in optimizer steps.

    Attributes:
        schedule: Maps the share of steps done to a factor of the peak learning rate; see `SCHEDULES`.
        validation_steps: 0 never validates.
    """

    steps: int
    learning_rate: float
    warmup: int = 0
    schedule: Callable[[float], float] = SCHEDULES["cosine"]
    max_grad_norm: float = 1.0
    logging_steps: int = 10
    validation_steps: int = 500
    checkpointing_steps: int = 500


@dataclass(frozen=True)
class TrainingSettings:
    """A training by `train.py`. The names are those of its flags and of the keys of its config files.

    The flags' help explains them. Where the default is None, the data, the model or the machine decides.

    Raises:
        ArgumentError: A value is not among the choices, is out of range, or contradicts another one.
    """

    dataset_root: str
    output_dir: str
    task: str = TASKS[0]
    stage: str | None = None
    # Models
    pretrained_model_name_or_path: str = PUBLISHED_BASE
    pretrained_model_name_or_path_sd3_tryoff: str | None = None
    pretrained_extractor_name_or_path: str | None = None
    image_encoder_large: str | None = None
    image_encoder_bigG: str | None = None
    correct_clip_input: bool = False
    from_scratch: bool = False
    num_layers: int = TransformerShape.num_layers
    num_attention_heads: int = TransformerShape.num_attention_heads
    lora_rank: int | None = None
    align_weight: float = 0.0
    align_model: str = PUBLISHED_VIT
    align_size: int | None = None
    align_block: int = PUBLISHED_BLOCK
    # Data
    dataset_name: str = DATASETS[0]
    category: str = "all"
    caption_file: Sequence[str] = ()
    mask_dir: str | None = None
    region: str = REGIONS[0]
    width: int | None = None
    height: int | None = None
    cache_dir: str | None = None
    encode_batch_size: int = 16
    dataloader_num_workers: int = 0
    # Flow matching and guidance
    timestep_sampling: str = FlowSettings.sampling
    logit_mean: float = FlowSettings.logit_mean
    logit_std: float = FlowSettings.logit_std
    shift: float | None = None
    loss_weighting: str = FlowSettings.weighting
    condition_dropout: float = ConditionDropout.everything
    caption_dropout: float = ConditionDropout.caption
    image_embedding_dropout: float = ConditionDropout.image_embedding
    # Optimization
    max_train_steps: int = 5000
    train_batch_size: int = 16
    gradient_accumulation_steps: int = 1
    learning_rate: float = 1e-4
    lr_scheduler: str = "cosine"
    lr_warmup_steps: int = 100
    adam_beta1: float = 0.9
    adam_beta2: float = 0.98
    adam_weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    use_8bit_adam: bool = False
    max_grad_norm: float = 1.0
    ema_decay: float = 0.998
    gradient_checkpointing: bool = False
    mixed_precision: str | None = None
    seed: int = 0
    # Output
    checkpointing_steps: int = 500
    checkpoints_total_limit: int = 2
    resume_from_checkpoint: str | None = None
    validation_steps: int = 500
    num_validation_items: int = 64
    num_validation_images: int = 8
    guidance_scale: float = GUIDANCE_SCALE
    num_inference_steps: int = PRESETS[Options.preset].steps
    logging_steps: int = 10
    report_to: str = TRACKERS[0]
    save_dtype: str = "no"

    def __post_init__(self) -> None:
        for name, choices in self.choices().items():
            check_choice(name, getattr(self, name), choices)
        for name in ("condition_dropout", "caption_dropout", "image_embedding_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ArgumentError(f"{{{name}}} is {getattr(self, name)}; give a probability from 0 to 1.", name)
        for name in (
            "encode_batch_size",
            "max_train_steps",
            "train_batch_size",
            "gradient_accumulation_steps",
            "num_validation_items",
            "checkpointing_steps",
            "logging_steps",
        ):
            check_least(name, getattr(self, name))
        self._check_task()
        if self.from_scratch and self.lora_rank is not None:
            raise ArgumentError(
                "{lora_rank} adapts trained weights; it can't be combined with {from_scratch}.",
                "lora_rank",
                "from_scratch",
            )

    def _check_task(self) -> None:
        if self.task == "try_off":
            if self.stage is None:
                raise ArgumentError(f"{{stage}} is missing; choose one of {', '.join(STAGES)}.", "stage")
            return
        defaults = {field.name: field.default for field in fields(self)}
        for name in OF_TRY_OFF:
            if getattr(self, name) != defaults[name]:
                raise ArgumentError(f"{{{name}}} is for {{task}} try_off; leave it out for try_on.", name, "task")

    @classmethod
    def choices(cls) -> dict[str, Sequence[str | None]]:
        """The allowed values of the settings that have a fixed set of them."""
        return {
            "task": TASKS,
            "stage": (None, *STAGES),
            "region": REGIONS,
            "dataset_name": DATASETS,
            "timestep_sampling": TIMESTEP_SAMPLINGS,
            "loss_weighting": LOSS_WEIGHTINGS,
            "lr_scheduler": tuple(cls.schedules()),
            "mixed_precision": (None, *PRECISIONS),
            "report_to": TRACKERS,
            "save_dtype": PRECISIONS,
        }

    @classmethod
    def schedules(cls) -> Mapping[str, Callable[[float], float]]:
        """Learning rate schedules by name; see `SCHEDULES`."""
        return SCHEDULES

    @classmethod
    def from_flags(cls: type[Settings], flags: Mapping[str, Any]) -> Settings:
        """The settings among parsed flags."""
        return cls(**{field.name: flags[field.name] for field in fields(cls)})

    @property
    def dropout(self) -> ConditionDropout:
        """How often conditions are dropped."""
        return ConditionDropout(self.condition_dropout, self.caption_dropout, self.image_embedding_dropout)

    @property
    def shape(self) -> TransformerShape:
        """The shape of fresh transformers."""
        return TransformerShape(num_layers=self.num_layers, num_attention_heads=self.num_attention_heads)

    @property
    def plan(self) -> Plan:
        """The run's length, learning rate and intervals."""
        return Plan(
            steps=self.max_train_steps,
            learning_rate=self.learning_rate,
            warmup=self.lr_warmup_steps,
            schedule=self.schedules()[self.lr_scheduler],
            max_grad_norm=self.max_grad_norm,
            logging_steps=self.logging_steps,
            validation_steps=self.validation_steps,
            checkpointing_steps=self.checkpointing_steps,
        )

    @property
    def adamw(self) -> dict[str, Any]:
        """Keywords of `optimization.make_optimizer`."""
        return {
            "learning_rate": self.learning_rate,
            "betas": (self.adam_beta1, self.adam_beta2),
            "weight_decay": self.adam_weight_decay,
            "epsilon": self.adam_epsilon,
            "use_8bit": self.use_8bit_adam,
        }

    def flow(self, shift: float) -> FlowSettings:
        """How times are drawn, with the scheduler's shift."""
        return FlowSettings(
            sampling=self.timestep_sampling,
            logit_mean=self.logit_mean,
            logit_std=self.logit_std,
            shift=shift,
            weighting=self.loss_weighting,
        )

"""Trains the transformers, given models, objective and data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from temu_vtoff.runs.record import write_run_record
from temu_vtoff.training.condition_dropout import draw_dropped
from temu_vtoff.training.latent_cache import LatentCache
from temu_vtoff.training.live_encoding import LiveEncoding
from temu_vtoff.training.loop import run_steps
from temu_vtoff.training.run_folder import RunFolder
from temu_vtoff.training.settings import TrainingSettings
from temu_vtoff.training.setup import make_exporter, make_validation
from temu_vtoff.training.step_sampler import StepSampler, item_generators
from temu_vtoff.training.training_run import TrainingRun
from temu_vtoff.training.tryon_data import EncodedFittings, FittingCache, LiveFittings

if TYPE_CHECKING:
    from temu_vtoff.datasets import SampleBatch
    from temu_vtoff.training.encoding import EncodedBatch
    from temu_vtoff.training.tryon_pairs import FittingBatch
    from temu_vtoff.tryoff.pipeline import TryOffPipeline
    from temu_vtoff.tryon.pipeline import TryOnPipeline

    Batch = SampleBatch | EncodedBatch | FittingBatch | EncodedFittings


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        steps: Steps done in total, including those before a resume.
        stopped: Whether a signal ended it before its last step.
        first_loss: Loss in the first row of the log; NaN if there is no row.
        last_loss: Loss in the last row.
    """

    steps: int
    stopped: bool
    first_loss: float
    last_loss: float


def fit(
    settings: TrainingSettings,
    *,
    accelerator: Accelerator,
    folder: RunFolder,
    pipeline: TryOffPipeline | TryOnPipeline,
    objective: nn.Module,
    data: LatentCache | LiveEncoding | FittingCache | LiveFittings,
    test: LiveEncoding | LiveFittings,
    optimizer: torch.optim.Optimizer,
    arguments: Mapping[str, Any],
    started: float,
) -> Outcome:
    """Trains, validates on the test items, and writes checkpoints, weights and run.json into the run's folder.

    Args:
        arguments: The user's arguments, for run.json.
        started: `time.time()` when the run began.

    Raises:
        ArgumentError: The folder holds another run, a checkpoint can't be resumed, or the loss diverges.
        OSError: The disk is full; the last checkpoint is whole.
    """
    validation = make_validation(settings, pipeline, objective, test, autocast=accelerator.autocast)
    run = TrainingRun(
        folder,
        accelerator,
        objective,
        optimizer,
        ema_decay=settings.ema_decay,
        validate=lambda step: validation.run(folder.path / "validation" / f"step-{step:06d}.png"),
        export=make_exporter(settings, pipeline),
    )
    start = run.resume(settings.resume_from_checkpoint)
    accelerator.init_trackers("temu-vtoff", config={name: str(value) for name, value in vars(settings).items()})

    sampler = _sampler(settings, len(data), start, accelerator)
    batches = DataLoader(data, batch_size=None, sampler=sampler, num_workers=settings.dataloader_num_workers)

    def losses_of(
        number: int, batch: SampleBatch | EncodedBatch | FittingBatch | EncodedFittings
    ) -> dict[str, torch.Tensor]:
        rngs = item_generators(settings.seed, sampler.first_position(number), settings.train_batch_size)
        encoded = data.encode(batch).to(accelerator.device)
        encoded = encoded.drop_conditions(*draw_dropped(settings.dropout, rngs), data.empty_caption)
        with accelerator.autocast():
            return run.model(encoded, rngs)

    with run:
        steps = run_steps(run, settings.plan, batches, losses_of, start=start)
        outcome = Outcome(steps, run.stopped, *folder.loss_range())
        if accelerator.is_main_process:
            facts = {"steps": steps, "processes": accelerator.num_processes}
            facts |= {"first_loss": outcome.first_loss, "last_loss": outcome.last_loss}
            write_run_record(folder.path, arguments, started, **facts)
        accelerator.wait_for_everyone()  # a launcher ends the other processes as soon as one ends
        accelerator.end_training()
    return outcome


def _sampler(settings: TrainingSettings, num_items: int, start: int, accelerator: Accelerator) -> StepSampler:
    """This process's batches from step `start` on; a step takes all its accumulated batches."""
    accumulation = settings.gradient_accumulation_steps
    return StepSampler(
        num_items=num_items,
        batch_size=settings.train_batch_size,
        start=start * accumulation,
        stop=settings.max_train_steps * accumulation,
        seed=settings.seed,
        rank=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )

"""A training of the transformers from its settings to its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset

from temu_vtoff.files import writable_folder
from temu_vtoff.runs.record import write_run_record
from temu_vtoff.training.condition_dropout import draw_dropped
from temu_vtoff.training.loop import run_steps
from temu_vtoff.training.processes import make_accelerator
from temu_vtoff.training.run_folder import RunFolder
from temu_vtoff.training.settings import TrainingSettings
from temu_vtoff.training.setup import Setup
from temu_vtoff.training.step_sampler import StepSampler, item_generators
from temu_vtoff.training.training_run import TrainingRun
from temu_vtoff.training.tryoff_setup import TryOffSetup
from temu_vtoff.training.tryon_setup import TryOnSetup

if TYPE_CHECKING:
    from temu_vtoff.datasets import SampleBatch
    from temu_vtoff.training.encoding import EncodedBatch
    from temu_vtoff.training.tryon_data import EncodedFittings
    from temu_vtoff.training.tryon_pairs import FittingBatch

    Batch = SampleBatch | EncodedBatch | FittingBatch | EncodedFittings

SETUPS = {"try_off": TryOffSetup, "try_on": TryOnSetup}


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        steps: Steps done in total, including those before a resume.
        stopped: Whether a signal ended it before its last step.
        first_loss: Loss in the first row of the log; NaN if there is no row.
        last_loss: Loss in the last row.
        is_main: Whether this is the process that reports.
    """

    steps: int
    stopped: bool
    first_loss: float
    last_loss: float
    is_main: bool


def train(
    settings: TrainingSettings,
    *,
    arguments: Mapping[str, Any],
    started: float,
    setup_class: type[Setup] | None = None,
) -> Outcome:
    """Trains, validates on the test items, and writes checkpoints, weights and run.json into the run's folder.

    Args:
        arguments: The user's arguments, for run.json.
        started: `time.time()` when the run began.
        setup_class: Builds the pieces; by default as the task needs.

    Raises:
        ArgumentError: The folder holds another run, a checkpoint can't be resumed, or the loss diverges.
        OSError: The disk is full; the last checkpoint is whole.
    """
    accelerator = make_accelerator(
        mixed_precision=settings.mixed_precision,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        report_to=settings.report_to,
        folder=settings.output_dir,
    )
    folder = RunFolder(writable_folder(settings.output_dir), settings.checkpoints_total_limit)
    with folder.locked(accelerator.is_main_process):
        # 1. The frozen models in a pipeline, the trained ones in an objective
        torch.manual_seed(settings.seed)
        setup = (SETUPS[settings.task] if setup_class is None else setup_class)(settings, accelerator)
        objective = setup.make_objective()

        # 2. The items of both splits; encoding the training items may take hours
        test = setup.open_test()
        data = setup.load_data()

        # 3. The steps; each depends on the weights, the optimizer's state and its number only
        validation = setup.make_validation(objective, test)
        run = TrainingRun(
            folder,
            accelerator,
            objective,
            setup.make_optimizer(objective),
            ema_decay=settings.ema_decay,
            validate=lambda step: validation.run(folder.path / "validation" / f"step-{step:06d}.png"),
            export=setup.make_exporter(),
        )
        start = run.resume(settings.resume_from_checkpoint)
        accelerator.init_trackers("temu-vtoff", config={name: str(value) for name, value in vars(settings).items()})
        with run:
            steps = fit(run, settings, data, start)
            outcome = Outcome(steps, run.stopped, *folder.loss_range(), accelerator.is_main_process)
            if outcome.is_main:
                facts = {"steps": steps, "processes": accelerator.num_processes}
                facts |= {"first_loss": outcome.first_loss, "last_loss": outcome.last_loss}
                write_run_record(folder.path, arguments, started, **facts)
            accelerator.wait_for_everyone()  # a launcher ends the other processes as soon as one ends
            accelerator.end_training()
    return outcome


def fit(run: TrainingRun, settings: TrainingSettings, data: Dataset, start: int) -> int:
    """The steps of a run from number `start` on; returns the number of steps done."""
    accelerator = run.accelerator
    sampler = _sampler(settings, len(data), start, accelerator)
    batches = DataLoader(data, batch_size=None, sampler=sampler, num_workers=settings.dataloader_num_workers)

    def losses_of(number: int, batch: Batch) -> dict[str, torch.Tensor]:
        rngs = item_generators(settings.seed, sampler.first_position(number), settings.train_batch_size)
        encoded = data.encode(batch).to(accelerator.device)
        encoded = encoded.drop_conditions(*draw_dropped(settings.dropout, rngs), data.empty_caption)
        with accelerator.autocast():
            return run.model(encoded, rngs)

    return run_steps(run, settings.plan, batches, losses_of, start=start)


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

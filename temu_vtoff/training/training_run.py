"""One run's bookkeeping: losses, checkpoints, validation, averaged weights for export, and when to stop."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from temu_vtoff.errors import ArgumentError, is_out_of_memory
from temu_vtoff.training.optimization import EMA
from temu_vtoff.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

MAX_SKIPPED = 10  # updates in a row that were not finite, before giving up
SIGNALS = (signal.SIGTERM, signal.SIGINT)
BEST = "validation_loss"  # the score by which the best weights are kept


class TrainingRun:
    """Everything around the steps of a run: `loop.run_steps` has the steps. A context manager, within which SIGTERM and
    Ctrl-C end the run after its current step; a second Ctrl-C ends it at once.

    Args:
        folder: The run's folder.
        accelerator: Prepares the objective and the optimizer, which with the average make up a checkpoint.
        objective: What is trained.
        optimizer: Its name goes into the checkpoint: the state of one optimizer means nothing to another.
        ema_decay: Decay of the averaged weights; 0 is off.
        validate: Scores of the averaged weights by name, given the step; None turns validation off.
        export: Writes the current weights into a folder; None writes checkpoints only.
    """

    def __init__(
        self,
        folder: RunFolder,
        accelerator: Accelerator,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        ema_decay: float = 0.0,
        validate: Callable[[int], dict[str, float]] | None = None,
        export: Callable[[Path], None] | None = None,
    ) -> None:
        self.folder, self.accelerator = folder, accelerator
        self.validate_weights, self.export = validate, export
        self.trained = [p for p in objective.parameters() if p.requires_grad]
        self.ema = EMA(self.trained, ema_decay)
        self.optimizer_name = type(optimizer).__name__.lower()
        self.model, self.optimizer = accelerator.prepare(objective, optimizer)
        accelerator.register_for_checkpointing(self.ema)
        accelerator.register_save_state_pre_hook(_drop_frozen_weights)
        self.sums: dict[str, float] = {}  # of the losses since the last row
        self.batches = self.skipped = 0
        self.best_loss, self.best_step = float("inf"), None
        self.stopped = False
        self._signalled = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> TrainingRun:
        self._handlers = {number: signal.signal(number, self._note_signal) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note_signal(self, number: int, frame: object) -> None:
        if self._signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signalled = True

    def resume(self, wanted: str | None) -> int:
        """Restores everything from a checkpoint; returns the number of steps done, 0 for a new run.

        Args:
            wanted: "latest", a checkpoint's name or path; None starts a new run.

        Raises:
            ArgumentError: There is no such checkpoint, it is damaged, it holds the state of another optimizer, or a new
                run is to start in a folder that holds another one.
        """
        checkpoint = self.folder.find_checkpoint(wanted) if wanted is not None else None
        if checkpoint is None:
            if wanted is None and self.folder.checkpoints():
                raise ArgumentError(
                    f"{self.folder.path} holds a run already: resume it with {{resume_from_checkpoint}} latest, or "
                    "name another {output_dir}.",
                    "output_dir",
                    "resume_from_checkpoint",
                )
            step = 0
        else:
            step = self._restore(checkpoint)
        if self.accelerator.is_main_process:
            self.folder.rewind_log(step)
        return step

    def _restore(self, checkpoint: Path) -> int:
        state = self.folder.read_state(checkpoint)
        if (optimizer := state.get("optimizer")) not in (None, self.optimizer_name):
            raise ArgumentError(
                f"{checkpoint} holds the state of the optimizer {optimizer}, not of {self.optimizer_name}: resume with "
                "that one, or start a run in another {output_dir} from the weights of this one.",
                "output_dir",
            )
        try:
            self.accelerator.load_state(checkpoint, strict=False)  # frozen weights are not in it
        except Exception as error:  # damaged pickles and archives raise all kinds
            if is_out_of_memory(error):
                raise
            damage = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise self.folder.damaged_checkpoint(checkpoint, damage) from error
        self.sums, self.batches = state["sums"], state["batches"]
        self.best_loss, self.best_step = state["best_loss"] or float("inf"), state["best_step"]
        logger.info("Resumed %s", checkpoint)
        return state["step"]

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        """Adds a batch's losses to the next row."""
        self.batches += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item()

    def skip_if_not_finite(self, norm: torch.Tensor) -> None:
        """Drops an update whose gradients are not finite; in fp16 the loss scaling does so already.

        Raises:
            ArgumentError: Many in a row were dropped: the run has diverged. Nothing is saved over the last checkpoint.
        """
        if torch.isfinite(norm):
            self.skipped = 0
            return
        if self.accelerator.scaler is None:
            self.optimizer.zero_grad()
        self.skipped += 1
        logger.warning("The gradients are not finite: this update is skipped.")
        if self.skipped >= MAX_SKIPPED:
            self.require_finite()

    @property
    def is_diverging(self) -> bool:
        """Whether the latest update was skipped, and not by fp16's loss scaling."""
        return self.skipped > 0 and self.accelerator.scaler is None

    def require_finite(self) -> None:
        """
        Raises:
            ArgumentError: The latest updates were skipped: the weights may be spoiled.
        """
        if not self.is_diverging:
            return
        found = self.folder.checkpoints()
        remedy = f"resume from {found[-1].name} with" if found else "start again with"
        raise ArgumentError(
            f"The loss was not finite for {self.skipped} steps in a row: {remedy} a lower {{learning_rate}}, "
            "a longer {lr_warmup_steps}, or {mixed_precision} bf16 or no.",
            "learning_rate",
            "lr_warmup_steps",
            "mixed_precision",
        )

    def check_signals(self) -> bool:
        """Whether any process was asked to end, by SIGTERM or Ctrl-C; all processes call it together, once a step."""
        if self.accelerator.num_processes == 1:
            self.stopped = self._signalled
        else:
            if self._signalled:
                self.accelerator.set_trigger()
            self.stopped = self.accelerator.check_trigger()  # which resets it
        return self.stopped

    def log(self, step: int, **values: float) -> dict[str, float]:
        """Writes a row: the mean of each loss since the last one over all processes, and the given values."""
        means = torch.tensor([total / self.batches for total in self.sums.values()], device=self.accelerator.device)
        means = self.accelerator.reduce(means, reduction="mean").tolist()
        row = dict(zip(self.sums, means, strict=True)) | values
        self.sums, self.batches = {}, 0
        self._write(step, row)
        return row

    def validate(self, step: int) -> None:
        """Scores the averaged weights, and exports them if they are the best so far."""
        if self.validate_weights is None or self.is_diverging:
            return
        if self.accelerator.is_main_process:
            with self.ema.applied():
                scores = self.validate_weights(step)
                if scores.get(BEST, float("inf")) < self.best_loss:
                    self.best_loss, self.best_step = scores[BEST], step
                    if self.export is not None:
                        self.export(self.folder.path / "best")
            self._write(step, scores)
        self.accelerator.wait_for_everyone()

    def save(self, step: int) -> None:
        """Writes a checkpoint, and exports the averaged weights.

        While updates are being skipped nothing is written: the weights may be spoiled already.

        Raises:
            OSError: The disk is full; the last checkpoint is whole.
        """
        if self.is_diverging:
            return
        state = {
            "sums": self.sums,
            "batches": self.batches,
            "best_loss": self.best_loss if self.best_step is not None else None,
            "best_step": self.best_step,
            "optimizer": self.optimizer_name,
        }
        main, barrier = self.accelerator.is_main_process, self.accelerator.wait_for_everyone
        self.folder.save_checkpoint(step, self.accelerator.save_state, state, is_main=main, barrier=barrier)
        if main and self.export is not None:
            with self.ema.applied():
                self.export(self.folder.path)
        barrier()

    def _write(self, step: int, row: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            self.folder.log(step=step, **row)
        self.accelerator.log(row, step=step)


def _drop_frozen_weights(models: list[nn.Module], weights: list[dict[str, torch.Tensor]], folder: str) -> None:
    """Leaves frozen weights out of a checkpoint, as a run loads them anyway: most of stage 2's and LoRA's gigabytes."""
    for model, state in zip(models, weights, strict=False):  # no weights come here when DeepSpeed writes them
        for name, weight in model.named_parameters():
            if not weight.requires_grad:
                state.pop(name, None)

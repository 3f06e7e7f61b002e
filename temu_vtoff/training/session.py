"""One run's bookkeeping: losses, checkpoints, validation, averaged weights for export, and when to stop."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

import torch
from torch import nn

from temu_vtoff.training.optimization import WeightAverage, require_same_optimizer
from temu_vtoff.training.run_folder import RunFolder
from temu_vtoff.training.validation import Validation

if TYPE_CHECKING:
    from accelerate import Accelerator

    from temu_vtoff.training.export import Exporter

logger = logging.getLogger(__name__)

MAX_SKIPPED = 10  # updates in a row that were not finite, before giving up


class Session:
    """Everything around the steps of a run; `train.py` holds the steps.

    Args:
        run: The folder.
        accelerator: Its prepared models and registered objects make up a checkpoint.
        average: What is validated and exported.
        validation: None turns validation off.
        export: Writes the present weights into a folder.
        optimizer: Its name; a checkpoint holds its state.
    """

    def __init__(
        self,
        run: RunFolder,
        accelerator: Accelerator,
        average: WeightAverage,
        validation: Validation | None,
        export: Exporter,
        optimizer: str,
    ) -> None:
        self.run, self.accelerator, self.average = run, accelerator, average
        self.validation, self.export, self.optimizer = validation, export, optimizer
        self.sums: dict[str, float] = {}  # of the losses since the last row
        self.batches = self.skipped = 0
        self.best_loss, self.best_step = float("inf"), None
        accelerator.register_save_state_pre_hook(_drop_frozen_weights)
        self._signalled = False
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)

    def _stop(self, number: int, frame: object) -> None:
        if self._signalled and number == signal.SIGINT:
            raise KeyboardInterrupt  # Ctrl-C twice: at once
        self._signalled = True

    def resume(self, wanted: str | None) -> int:
        """Puts everything back as it was at a checkpoint; returns the number of steps done, 0 for a new run.

        Args:
            wanted: "latest", a checkpoint's name or path; None starts anew.

        Raises:
            FileNotFoundError: No such checkpoint.
            FileExistsError: A new run is to start in a folder that holds another.
            ValueError: The checkpoint holds the state of another optimizer.
        """
        checkpoint = self.run.find_checkpoint(wanted) if wanted is not None else None
        if checkpoint is None:
            if wanted is None and self.run.checkpoints():
                raise FileExistsError(
                    f"{self.run.path} holds a run already: add --resume_from_checkpoint latest to go on with it, "
                    "or name another --output_dir."
                )
            step = 0
        else:
            state = self.run.read_state(checkpoint)
            require_same_optimizer(checkpoint, state.get("optimizer"), self.optimizer)
            self.accelerator.load_state(checkpoint, strict=False)  # frozen weights are not in it
            self.sums, self.batches = state["sums"], state["batches"]
            self.best_loss, self.best_step = state["best_loss"] or float("inf"), state["best_step"]
            step = state["step"]
            logger.info("Resumed %s", checkpoint)
        if self.accelerator.is_main_process:
            self.run.rewind_log(step)
        return step

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        """Takes a batch's losses into the next row."""
        self.batches += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item()

    def skip_if_not_finite(self, norm: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Drops an update whose gradients are not finite; half precision's loss scaling does so by itself.

        Raises:
            ValueError: Many in a row were dropped: the run has diverged. Nothing is saved over the last checkpoint.
        """
        if torch.isfinite(norm):
            self.skipped = 0
            return
        if self.accelerator.scaler is None:
            optimizer.zero_grad()
        self.skipped += 1
        logger.warning("The gradients are not finite: this update is skipped.")
        if self.skipped >= MAX_SKIPPED and self.accelerator.scaler is None:
            found = self.run.checkpoints()
            remedy = f"resume from {found[-1].name} with" if found else "start again with"
            raise ValueError(
                f"The loss was not finite for {MAX_SKIPPED} steps in a row: {remedy} a lower --learning_rate, "
                "a longer --lr_warmup_steps, or --mixed_precision bf16 or no."
            )

    def asked_to_stop(self) -> bool:
        """Whether any process was told to end (SIGTERM, Ctrl-C): time for a last checkpoint."""
        if self.accelerator.num_processes == 1:
            return self._signalled
        if self._signalled:
            self.accelerator.set_trigger()
        return self.accelerator.check_trigger()

    def log(self, step: int, **values: float) -> dict[str, float]:
        """Writes a row: the mean of each loss since the last one over all processes, and the given values."""
        means = torch.tensor([total / self.batches for total in self.sums.values()], device=self.accelerator.device)
        means = self.accelerator.reduce(means, reduction="mean").tolist()
        row = dict(zip(self.sums, means, strict=True)) | values
        self.sums, self.batches = {}, 0
        self._write(step, row)
        return row

    def validate(self, step: int) -> None:
        """Scores the averaged weights, shows pictures, and exports them if they are the best yet."""
        if self.validation is None or self.skipped:
            return
        if self.accelerator.is_main_process:
            with self.average.applied():
                scores = self.validation.run(self.run.path / "validation" / f"step-{step:06d}.png")
                if scores["validation_loss"] < self.best_loss:
                    self.best_loss, self.best_step = scores["validation_loss"], step
                    self.export(self.run.path / "best")
            self._write(step, scores)
        self.accelerator.wait_for_everyone()

    def save(self, step: int) -> None:
        """Writes a checkpoint, and the averaged weights as the pipeline opens them.

        While updates are being skipped nothing is written: the weights may be spoilt already.

        Raises:
            OSError: The disk is full; the last checkpoint is whole.
        """
        if self.skipped:
            return
        state = {
            "sums": self.sums,
            "batches": self.batches,
            "best_loss": self.best_loss if self.best_step is not None else None,
            "best_step": self.best_step,
            "optimizer": self.optimizer,
        }
        main, barrier = self.accelerator.is_main_process, self.accelerator.wait_for_everyone
        self.run.save_checkpoint(step, self.accelerator.save_state, state, main, barrier)
        if main:
            with self.average.applied():
                self.export(self.run.path)
        barrier()

    def _write(self, step: int, row: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            self.run.log(step=step, **row)
        self.accelerator.log(row, step=step)


def _drop_frozen_weights(models: list[nn.Module], weights: list[dict[str, torch.Tensor]], folder: str) -> None:
    """Leaves out of a checkpoint what a run starts with anyway: most of the gigabytes of stage 2 and of LoRA."""
    for model, state in zip(models, weights, strict=False):  # no weights come here when DeepSpeed writes them
        for name, weight in model.named_parameters():
            if not weight.requires_grad:
                state.pop(name, None)

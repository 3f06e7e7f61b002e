"""The training loop. Step k is a function of the weights, the optimizer's state and k, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from tqdm.auto import tqdm

from temu_vtoff.training.optimization import learning_rate_at, set_learning_rate
from temu_vtoff.training.settings import Plan
from temu_vtoff.training.training_run import TrainingRun

Batch = TypeVar("Batch")


def run_steps(
    run: TrainingRun,
    plan: Plan,
    batches: Iterable[Batch],
    losses_of: Callable[[int, Batch], dict[str, torch.Tensor]],
    start: int = 0,
) -> int:
    """Trains to the end of the plan, or until a signal; returns the number of steps done.

    Args:
        batches: The batches from number `start` x accumulated batches on.
        losses_of: The losses of a numbered batch by name; "loss" is what to minimise.
        start: Number of steps done before.
    """
    accelerator, step = run.accelerator, start
    first = start * accelerator.gradient_accumulation_steps
    with tqdm(total=plan.steps, initial=start, disable=not accelerator.is_main_process) as progress:
        for number, batch in enumerate(batches, start=first):
            with accelerator.accumulate(run.model):
                losses = losses_of(number, batch)
                accelerator.backward(losses["loss"])
                if accelerator.sync_gradients:
                    rate = learning_rate_at(step, plan.learning_rate, plan.steps, plan.warmup, schedule=plan.schedule)
                    set_learning_rate(run.optimizer, rate)
                    norm = accelerator.clip_grad_norm_(run.trained, plan.max_grad_norm)
                    run.skip_if_not_finite(norm)
                run.optimizer.step()
                run.optimizer.zero_grad()
            run.add(losses)
            if not accelerator.sync_gradients:
                continue

            run.ema.step()
            step += 1
            progress.update()
            last = run.check_signals() or step == plan.steps
            if last or step % plan.logging_steps == 0:
                progress.set_postfix(run.log(step, lr=rate, grad_norm=float(norm)))
            if plan.validation_steps and (last or step % plan.validation_steps == 0):
                run.validate(step)
            if last or step % plan.checkpointing_steps == 0:
                run.save(step)
            if last:
                run.require_finite()
                break
    return step

"""Trains the built-in try-on model on drawn people in each other's garments, from the try-off model's weights.

    python -m builtin_training.encode_try_on --shards 100 --output_dir runs/try_on/encoded
    python -m builtin_training.train_try_on --config configs/builtin/try_on.json

Resumed with more --max_train_steps, or after more shards were written, the run goes on with them.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import command_line
from builtin_training import part_flags
from command_line.config import parse_with_config
from temu_vtoff.builtin import BUILTIN

if TYPE_CHECKING:
    import torch

    from builtin_training import loop

SHOWN = 24  # validation fittings that become pictures
POSELESS = 0.05  # share of training fittings without pose picture, so that the model does without one too
STEPS, GUIDANCE = 12, 1.5  # of these


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    part_flags.add_arguments(
        parser,
        steps=16_000,
        batch_size=16,
        learning_rate=1.2e-3,
        ema_decay=0.998,
        written_by="python -m builtin_training.encode_try_on",
    )
    add = parser.add_argument
    add("--pretrained_model_name_or_path", default=BUILTIN, help="try-off model: frozen parts, and where weights start")
    add("--condition_dropout", type=float, default=0.1, help="share of fittings without garment")
    add("--outside_weight", type=float, default=0.05, help="weight of the loss outside the region; inside it is 1")
    add("--correspondence_weight", type=float, default=0.1, help="weight of supervised attention; 0 is off")
    add("--logit_mean", type=float, default=0.0, help="mean of the times' logit")
    add("--logit_std", type=float, default=1.2, help="deviation of the times' logit")
    return parse_with_config(parser, argv)


def main(args: argparse.Namespace) -> None:
    command_line.quiet_libraries()
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler

    from builtin_training import loop, try_on_model
    from builtin_training.try_on_shards import split_shards
    from temu_vtoff.builtin import resolve
    from temu_vtoff.training.condition_dropout import draw_dropped
    from temu_vtoff.training.settings import ConditionDropout
    from temu_vtoff.training.step_sampler import item_generators
    from temu_vtoff.training.tryon_initialization import models_from_sd3

    dropout = ConditionDropout(args.condition_dropout, caption=0)
    folder = resolve(args.pretrained_model_name_or_path, "tryoff")
    train, test = split_shards(args.dataset_root)
    torch.manual_seed(args.seed)
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(folder, subfolder="scheduler")
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae").eval()
    objective = try_on_model.make_objective(models_from_sd3(folder, reads="labels"), scheduler.config.shift, args)
    spread = range(0, len(test), max(1, len(test) // args.num_validation_items))
    batches = [test[part] for part in _parts(list(spread)[: args.num_validation_items], args.train_batch_size)]
    shown = test[list(range(0, len(test), max(1, len(test) // SHOWN)))[:SHOWN]]
    exporter = try_on_model.make_exporter(objective, scheduler)

    def loss(objective: torch.nn.Module, step: loop.Step) -> dict[str, torch.Tensor]:
        rngs = item_generators(args.seed, step.number * args.train_batch_size, len(step.items))
        batch = train[step.items].to(next(objective.parameters()).device)
        return objective(batch.drop_conditions(*draw_dropped(dropout, rngs)).drop_poses(POSELESS, rngs), rngs)

    def validate(objective: torch.nn.Module) -> dict[str, float]:
        losses, first = [], 0
        for batch in batches:
            losses.append(objective(batch, item_generators(args.seed, first, len(batch), stream=1))["loss"].item())
            first += len(batch)
        made = try_on_model.try_on(objective, scheduler, shown, steps=STEPS, guidance_scale=GUIDANCE)
        try_on_model.save_sheet(vae, shown, made, args.output_dir / "validation.png")
        return {"loss": sum(losses) / len(losses), "region_error": try_on_model.region_error(made, shown)}

    loop.train(objective, loss=loss, validate=validate, num_items=len(train), args=args, export=exporter)
    print(f"The try-on model is in {args.output_dir}.")


def _parts(items: list[int], size: int) -> list[list[int]]:
    return [items[first : first + size] for first in range(0, len(items), size)]


if __name__ == "__main__":
    command_line.run(main, parse_args())

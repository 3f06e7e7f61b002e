"""Inputs that several nodes have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

from temu_vtoff.tryoff.presets import MOST_STEPS

from .models import ModelsType

CATEGORY = "TEMU-VTOFF"
LARGEST_SEED = 2**64 - 1
MOST_GUIDANCE = 20.0


def models() -> io.Input:
    return ModelsType.Input("models", tooltip="from Load TEMU-VTOFF")


def category(choices: Sequence[str]) -> io.Input:
    return io.Combo.Input("category", options=list(choices), default=choices[0], tooltip="which garment")


def sampling() -> list[io.Input]:
    """Seed, steps and guidance; 0 stands for the model's own steps and guidance."""
    return [
        io.Int.Input(
            "seed", default=0, min=0, max=LARGEST_SEED, control_after_generate=True, tooltip="random seed of each photo"
        ),
        io.Int.Input("steps", default=0, min=0, max=MOST_STEPS, tooltip="denoising steps; 0: the preset's own"),
        io.Float.Input(
            "guidance",
            default=0.0,
            min=0.0,
            max=MOST_GUIDANCE,
            step=0.1,
            tooltip="guidance scale; 0: the model's own, 1: without guidance",
        ),
    ]


def sampling_arguments(seed: int, steps: int, guidance: float) -> dict[str, Any]:
    """Arguments of `generate` for the values of `sampling`."""
    given = {"num_inference_steps": steps, "guidance_scale": guidance}
    return {"seed": seed} | {name: value for name, value in given.items() if value > 0}

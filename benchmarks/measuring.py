"""Shared by the benchmarks: clocks that wait for the device, the device's own speed, and rows of results."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import RESULTS
from temu_vtoff.runs.record import made_by


def timed(work: Callable[[], Any], device: torch.device) -> tuple[Any, float]:
    """The work's result, and the seconds that it took, including the device's."""
    _wait(device)
    started = time.perf_counter()
    result = work()
    _wait(device)
    return result, time.perf_counter() - started


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """The seconds that the work takes."""
    return timed(work, device)[1]


def in_turn(works: dict[str, Callable[[], Any]], device: torch.device, repeats: int) -> dict[str, list[float]]:
    """Seconds of each work, after a warm-up. They alternate, so that a slow phase of the machine affects them all."""
    for work in works.values():
        work()
    rounds = [{name: seconds(work, device) for name, work in works.items()} for _ in range(repeats)]
    return {name: [times[name] for times in rounds] for name in works}


def summary(times: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {name: round(f(times), 4) for name, f in (("median", statistics.median), ("min", min), ("max", max))}


class Clock:
    """Seconds of the stages of a call.

    Attributes:
        seconds: Seconds by stage.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, work: Callable[[], Any]) -> Any:
        """The work's result; its time is added to the stage's."""
        result, took = timed(work, self.device)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + took
        return result


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """TFLOP/s of a plain matrix product on this device, to compare the denoising with."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = min(seconds(lambda: a @ b, device) for _ in range(8))
    return 2 * side**3 / best / 1e12


def denoising_flops(config: Any, image_tokens: int, text_tokens: int) -> int:
    """Floating-point operations of one evaluation of the generator for one branch: products and attention.

    A block's linear layers have 12 D^2 weights for each stream. Attention has N + T queries and 2 N + T keys, and
    counts twice, for the scores and for the values.
    """
    width = config.num_attention_heads * config.attention_head_dim
    tokens = image_tokens + text_tokens
    linear = 2 * 12 * width**2 * tokens
    attention = 2 * 2 * width * tokens * (tokens + image_tokens)
    return config.num_layers * (linear + attention)


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU's model and the threads used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = device.type
    return f"{model}, {torch.get_num_threads()} threads"


def write_rate(kind: str, model: str, device: torch.device, batch: int, times: list[float]) -> None:
    """Prints and writes the pictures per second of a stage."""
    measured = summary(times)
    rate = round(batch / measured["median"], 3)
    print(f"{kind} {model} batch {batch}: {rate} pictures a second")
    named = {"model": model, "device": device_name(device), "batch": batch}
    write_row(kind, named | {"seconds": measured, "pictures_per_second": rate})


def write_row(kind: str, row: dict[str, Any]) -> None:
    """Appends a measurement to results/<kind>.jsonl, with versions and commit."""
    path = RESULTS / f"{kind}.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row | made_by()) + "\n")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

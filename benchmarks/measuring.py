"""What the measurements share: clocks that wait for the device, the device's own speed, and rows of results."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from temu_vtoff.runs.record import made_by

RESULTS = Path(__file__).parent / "results"


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """How long the work takes, the device's part included."""
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def in_turn(works: dict[str, Callable[[], Any]], device: torch.device, repeats: int) -> dict[str, list[float]]:
    """Seconds of each work, by turns, so that what slows the machine for a while slows all; each is warm."""
    for work in works.values():
        work()
    rounds = [{name: seconds(work, device) for name, work in works.items()} for _ in range(repeats)]
    return {name: [one[name] for one in rounds] for name in works}


def summary(times: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {name: round(f(times), 4) for name, f in (("median", statistics.median), ("min", min), ("max", max))}


class Clock:
    """Seconds of the stages of a call.

    Attributes:
        seconds: By stage.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, work: Callable[[], Any]) -> Any:
        """What the work gives; its time is added to the stage's."""
        answer = []
        took = seconds(lambda: answer.append(work()), self.device)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + took
        return answer[0]


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """TFLOP/s of a plain matrix product here and now: what the rest is held against."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = min(seconds(lambda: a @ b, device) for _ in range(8))
    return 2 * side**3 / best / 1e12


def denoising_flops(config: Any, image_tokens: int, text_tokens: int) -> int:
    """Floating-point operations of one evaluation of the generator for one branch: products and attention.

    A block's linear layers hold 12 D^2 weights for each stream; queries N + T, keys 2 N + T, for scores and for values.
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
    """Tells and writes how many pictures a second a stage serves."""
    found = summary(times)
    rate = round(batch / found["median"], 3)
    print(f"{kind} {model} batch {batch}: {rate} pictures a second")
    named = {"model": model, "device": device_name(device), "batch": batch}
    write_row(kind, named | {"seconds": found, "pictures_per_second": rate})


def write_row(kind: str, row: dict[str, Any]) -> None:
    """Appends a measurement to results/<kind>.jsonl, with what made it."""
    path = RESULTS / f"{kind}.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row | made_by()) + "\n")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

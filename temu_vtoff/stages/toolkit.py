"""What try-off and try-on share: models that load on first use, batches under a progress bar, and their times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from diffusers import DiffusionPipeline

from temu_vtoff.backends.editing import EditingModel
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hardware.devices import free_memory
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.serving import ErrorRow
from temu_vtoff.stages.batches import serve_each
from temu_vtoff.stages.models import LoadedPipeline, load_segmenter
from temu_vtoff.stages.options import Options

SEEDS = range(-(2**63), 2**64)  # the seeds that torch accepts
MOST_IMAGES = 1000  # pictures of one garment; they are made as one batch
Item = TypeVar("Item")
Content = TypeVar("Content")
Model = TypeVar("Model")
Result = TypeVar("Result")


class Toolkit:
    """Stages and their models. Several threads may use one object: they take turns at its models.

    Args:
        options: Models and how they run.
        keep_loaded: Keep each stage's model for the next call instead of freeing it.
        progress: Wraps the batches of a stage as progress(batches, stage), for example in a progress bar.

    Attributes:
        seconds: Time that each stage took so far, by its name.
        taken: Choices that the options left open, such as device and dtype; filled when the pipeline is loaded.
    """

    def __init__(
        self,
        options: Options,
        *,
        keep_loaded: bool = False,
        progress: Callable[[Sequence[Any], str], Iterable[Any]] | None = None,
    ) -> None:
        self.options, self.keep_loaded, self.progress = options, keep_loaded, progress
        self.seconds: dict[str, float] = {}
        self.taken: dict[str, Any] = {}
        self._models: dict[str, Any] = {}
        self._lock = threading.RLock()

    def segmenter(self) -> ClothSegmenter:
        """The segmenter, loaded on first use."""
        return self._model("segmenter", lambda: load_segmenter(self.options))

    def release(self) -> None:
        """Frees all models."""
        with self._lock:
            self._models.clear()
            free_memory()

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the models that are loaded: "segmenter", "captioner", "pipeline", and so on."""
        return tuple(self._models)

    def loaded_bytes(self, device: torch.device | None = None) -> int:
        """Bytes of the loaded models' weights: of all, or of those on a device."""
        weights = {weight for model in self._models.values() for part in _parts(model) for weight in part.parameters()}
        return sum(weight.nbytes for weight in weights if device is None or weight.device.type == device.type)

    def _pipeline(self, load: Callable[[], LoadedPipeline]) -> Any:
        """The pipeline, loaded on first use."""

        def prepare() -> Any:
            loaded = load()
            self.taken |= loaded.taken
            steps = {"disable": True} if self.progress is None else {"disable": None, "desc": "denoise", "leave": False}
            loaded.pipe.set_progress_bar_config(**steps)  # None: on a terminal only
            return loaded.pipe

        return self._model("pipeline", prepare)

    def _model(self, name: str, load: Callable[[], Any]) -> Any:
        with self._lock:
            if name not in self._models:
                self._models[name] = load()
            return self._models[name]

    def _served(
        self,
        stage: str,
        items: Sequence[Item],
        *,
        read: Callable[[Item], Content | None],
        load: Callable[[], Model],
        serve: Callable[[Model, Sequence[tuple[Item, Content]]], Sequence[Result | None]],
        batch_size: int | None = None,
    ) -> Iterator[tuple[Item, Result | None]]:
        """One stage over all items: yields each with its result, as `serve_each` does; `serve` takes turns."""
        row = ErrorRow()

        def in_turn(model: Model, some: Sequence[tuple[Item, Content]]) -> Sequence[Result | None]:
            with self._lock:
                return serve(model, some)

        with self._stage(stage, items, batch_size) as batches:
            for batch in batches:
                yield from serve_each(batch, read=read, load=load, serve=in_turn, row=row)

    @contextmanager
    def _stage(self, name: str, items: Sequence[Item], batch_size: int | None = None) -> Iterator[Iterable[list[Item]]]:
        """Yields the items in batches, under the progress bar; then adds the stage's time and frees its model."""
        size = self.options.batch_size if batch_size is None else batch_size
        batches = [list(items[start : start + size]) for start in range(0, len(items), size)]
        started = time.perf_counter()
        try:
            yield batches if self.progress is None else self.progress(batches, name)
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0) + time.perf_counter() - started, 2)
            if not self.keep_loaded:
                self.release()


def sampling_of(
    options: Options, size: tuple[int, int], callback_on_step_end: Callable[..., dict[str, Any]] | None
) -> dict[str, Any]:
    """The options as arguments of the pipelines' calls.

    Args:
        size: Width and height.
        callback_on_step_end: Argument of the calls.
    """
    return {
        "width": size[0],
        "height": size[1],
        "num_inference_steps": options.num_inference_steps,
        "guidance_scale": options.guidance,
        "preset": options.preset,
        "callback_on_step_end": callback_on_step_end,
    }


def _parts(model: Any) -> Iterator[torch.nn.Module]:
    """The modules of a model: of a pipeline its components, of anything else what it holds."""
    held = model.components if isinstance(model, DiffusionPipeline) else getattr(model, "__dict__", {})
    for part in held.values():
        if isinstance(part, torch.nn.Module):
            yield part
        elif isinstance(part, (DiffusionPipeline, EditingModel)):
            yield from _parts(part)


def first_seeds(seed: int | Sequence[int], items: Sequence[Item], num_images: int) -> dict[Item, int]:
    """The seed of each item's first picture.

    Args:
        seed: One for all, or one for each.
        items: What pictures are made of.
        num_images: Pictures of each, with the seeds that follow.

    Raises:
        ArgumentError: Too few or too many pictures, not one seed for each item, or one that torch doesn't accept.
    """
    if not 1 <= num_images <= MOST_IMAGES:
        raise ArgumentError(f"{{num_images}} is {num_images}; give 1 to {MOST_IMAGES}.", "num_images")
    seeds = [seed] * len(items) if isinstance(seed, int) else list(seed)
    if len(seeds) != len(items):
        raise ArgumentError(f"{{seed}} has {len(seeds)} numbers for {len(items)} pictures; give one for each.", "seed")
    for each in seeds or [seed]:
        if each not in SEEDS or each + num_images - 1 not in SEEDS:
            raise ArgumentError(f"{{seed}} is {each}; give a whole number of at most 64 bits.", "seed")
    return dict(zip(items, seeds, strict=True))

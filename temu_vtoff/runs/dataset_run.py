"""What runs over a split of a dataset share: this process's batches, the folder's settings, journal and outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from temu_vtoff.backends.registry import EDITORS
from temu_vtoff.datasets import Item, TryOffDataset, open_dataset
from temu_vtoff.files import remove_leftovers, writable_folder
from temu_vtoff.hardware.acceleration import is_compiling_worth_it
from temu_vtoff.hardware.devices import DTYPES, choose_device, free_memory, multiplies_bf16
from temu_vtoff.runs.generation import has_picture, write_manifest
from temu_vtoff.runs.journal import Journal
from temu_vtoff.runs.phases import Outcome, Progress, gather_outcome, silent
from temu_vtoff.runs.segmenting import segment_items
from temu_vtoff.runs.settings import keep_settings, read_settings
from temu_vtoff.runs.sharing import Share, cut_batches, first_of_each_category
from temu_vtoff.runs.task import ALL, DatasetTask
from temu_vtoff.stages.checking import check_sources
from temu_vtoff.stages.models import load_segmenter, pipeline_dtype
from temu_vtoff.stages.options import Options


class DatasetRun:
    """This process's share of a task, stage after stage. Each stage loads its model and frees it.

    A subclass has the stages (`_stages`), the settings that its pictures depend on, and what it reads besides.

    Args:
        task: The items and how they are processed.
        options: The models and how they run.
        share: This process's part of the batches; all batches by default.
        progress: Wraps the batches of a stage as progress(batches, stage); used in the first process only.

    Attributes:
        taken: Choices that the options left open; filled when the pipeline is loaded.

    Raises:
        FileNotFoundError: The dataset, or a file that the task names, is missing.
        ValueError: The settings contradict each other, or those of the output folder's earlier results.
    """

    task_settings: tuple[str, ...] = ("dataset_name", "phase", "order", "segment", "seed")
    option_settings: tuple[str, ...] = (
        *("resize_mode", "num_inference_steps", "preset", "compile", "attention_backend"),
        *("vae_tiling", "quantize_transformers", "image_encoder_large", "image_encoder_bigG"),
    )

    def __init__(
        self, task: DatasetTask, options: Options, share: Share | None = None, progress: Progress = silent
    ) -> None:
        share = Share() if share is None else share
        self.task, self.share = task, share
        self.progress = progress if share.is_first else silent
        self.options = share.options(options)
        dataset = self._open(load=())
        self._read_inputs(dataset)
        self.width, self.height = options.size()
        self.output_dir = Path(task.output_dir)
        self.suffix = ".png" if options.finish is None else options.finish.suffix
        self.items = first_of_each_category(dataset.items, task.limit)
        self.batches = [
            batch
            for batch in share.of(cut_batches(self.items, options.batch_size))
            if not all(has_picture(self.output_dir, item, self.suffix) for item in batch)
        ]
        if self.batches:
            self._check_models()
        writable_folder(task.output_dir)
        self._keep_settings()
        self.journal = Journal(self.output_dir / "journal", "manifest", share.index)
        self.failures: dict[Item, str] = {}
        self.notes: dict[Item, str] = {}
        self.taken: dict[str, Any] = {}

    def run(self) -> Outcome:
        """All stages; the first process then writes the manifest."""
        self._stages()
        for item, reason in self.failures.items():
            self.journal.append(item.key, status="failed", reason=reason)
        outcome = gather_outcome(self.share, len(self.items), self.failures, self.notes)
        if self.share.is_first:
            for folder in self._written_folders():
                remove_leftovers(folder)
            self._write_lists()
        return outcome

    @property
    def models(self) -> dict[str, Any]:
        """The sources of the models, for `run.json`."""
        raise NotImplementedError

    def _stages(self) -> None:
        raise NotImplementedError

    def _check_models(self) -> None:
        """Checks what makes the pictures, before anything is written."""
        check_sources(self.options, segmenter=False, captioner=False)

    def _read_inputs(self, dataset: TryOffDataset) -> None:
        """Reads what the task names besides the dataset, before anything is written."""

    def _more_settings(self) -> dict[str, Any]:
        """Settings that the pictures depend on, besides those of the class's lists."""
        return {}

    def _written_folders(self) -> set[Path]:
        return {self.output_dir}

    def _write_lists(self) -> None:
        write_manifest(self.output_dir / "manifest.csv", self.items, self.journal, self.task.seed, self.suffix)

    def _open(self, **options: Any) -> TryOffDataset:
        task = self.task
        chosen = {"phase": task.phase, "order": task.order, "category": task.category}
        return open_dataset(task.dataset_name, task.dataset_root, **chosen, **options)

    def _select(self, wanted: Callable[[Item], bool] = lambda _: True) -> list[list[Item]]:
        """The batches without unwanted and failed items; the same in every run."""
        chosen = [[i for i in batch if i not in self.failures and wanted(i)] for batch in self.batches]
        return [batch for batch in chosen if batch]

    def _unsegmented(self) -> list[list[Item]]:
        """The batches whose label maps or masks are asked for and missing."""
        every = self.task.segment == ALL
        return [] if self.task.segment is None else self._select(lambda item: every or not item.label_map.exists())

    def _segment(self, path: Callable[[Item], Path], draw: Callable[..., Image.Image]) -> None:
        """Makes and writes what `_unsegmented` says is missing; arguments of `segment_items`."""
        batches = self._unsegmented()
        if not batches:
            return
        load = partial(load_segmenter, self.options)
        self.failures |= segment_items(
            self._open(load=["person"]), batches, load, path, draw, **self._reading("segment")
        )
        free_memory()

    def _reading(self, stage: str) -> dict[str, Any]:
        return {"num_workers": self.task.num_workers, "progress": lambda batches: self.progress(batches, stage)}

    def _sampling(self) -> dict[str, Any]:
        """Arguments of the pipeline."""
        return {
            "width": self.width,
            "height": self.height,
            "num_inference_steps": self.options.num_inference_steps,
            "guidance_scale": self.options.guidance,
            "preset": self.options.preset,
        }

    def _keep_settings(self) -> None:
        """Stops a run whose settings differ from those of the pictures already in the folder."""
        path = self.output_dir / "settings.json"
        may_change = ("compile",) if self.options.compile is None else ()
        self.options = self._settle(read_settings(path) or {})
        settings = {name: getattr(self.task, name) for name in self.task_settings}
        settings |= {name: getattr(self.options, name) for name in self.option_settings}
        settings["guidance_scale"] = self.options.guidance
        settings |= {"width": self.width, "height": self.height, "dtype": str(DTYPES[self.options.precision])}
        keep_settings(path, settings | self._more_settings(), may_change)

    def _settle(self, begun: Mapping[str, Any]) -> Options:
        """The options with precision and compiling decided, the same in all processes.

        Both change roundings. Where the options leave them open, a resumed run keeps the folder's, so that it makes the
        same pictures: its precision, if this device has it, and compiled blocks, however few pictures are left. A run
        that was begun without compiling, as a trial, may change to compiling.

        Args:
            begun: The settings that the folder was begun with.
        """
        options = self.options
        left = sum(self.share.gather([sum(map(len, self.batches))]))
        compiled = options.compile
        if compiled is None and options.backend not in EDITORS:
            compiled = begun.get("compile") is True or is_compiling_worth_it(-(-left // self.share.count))
        precision = options.precision
        if precision is None:
            names = {str(dtype): name for name, dtype in DTYPES.items()}
            precision = names.get(begun.get("dtype"))
            if precision is None or (precision != "no" and not multiplies_bf16(choose_device(options.device))):
                precision = names[self.share.gather([str(pipeline_dtype(options))])[0]]
        return replace(options, compile=compiled, precision=precision)

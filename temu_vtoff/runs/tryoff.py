"""Product pictures for a split of a dataset: makes masks and captions if the task asks for them, then the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from temu_vtoff.datasets import Item, TryOffDataset, open_dataset
from temu_vtoff.datasets.captions import read_captions
from temu_vtoff.datasets.features import ImageFeatures, TextFeatures
from temu_vtoff.files import remove_leftovers, writable_folder
from temu_vtoff.hardware.acceleration import is_compiling_worth_it
from temu_vtoff.hardware.devices import DTYPES, choose_device, free_memory, multiplies_bf16
from temu_vtoff.runs.captioning import caption_items, read_journal, write_captions
from temu_vtoff.runs.generation import Precomputed, generate_items, has_picture, write_manifest
from temu_vtoff.runs.journal import Journal
from temu_vtoff.runs.phases import Outcome, Progress, gather_outcome, silent
from temu_vtoff.runs.segmenting import segment_items
from temu_vtoff.runs.settings import keep_settings, read_settings
from temu_vtoff.runs.sharing import Share, cut_batches, first_of_each_category
from temu_vtoff.runs.task import ALL, DatasetTask
from temu_vtoff.stages.models import load_captioner, load_pipeline, load_segmenter, pipeline_dtype
from temu_vtoff.stages.options import Options
from temu_vtoff.tryoff.components import TEXT_PARTS
from temu_vtoff.tryoff.pipeline import TryOffPipeline


class DatasetTryOff:
    """This process's share of a task, stage after stage. Each stage loads its model and frees it.

    Args:
        task: The items and how they are processed.
        options: The models and how they run.
        share: This process's part of the batches; all batches by default.
        progress: Wraps the batches of a stage as progress(batches, stage); used in the first process only.

    Attributes:
        taken: Choices that the options left open; filled when the pipeline is loaded.

    Raises:
        FileNotFoundError: The dataset or the caption file is missing.
        ValueError: The settings contradict each other, or those of the output folder's earlier results.
    """

    def __init__(
        self, task: DatasetTask, options: Options, share: Share | None = None, progress: Progress = silent
    ) -> None:
        share = Share() if share is None else share
        self.task, self.share = task, share
        self.progress = progress if share.is_first else silent
        self.options = share.options(options)
        dataset = self._open(load=())
        dataset.require_unique_ids()
        self.captions = {} if task.caption_file is None else read_captions(task.caption_file)
        self.precomputed = Precomputed(
            text=None if task.text_features_dir is None else TextFeatures(task.text_features_dir),
            image=None if task.image_features_dir is None else ImageFeatures(task.image_features_dir),
        )
        self.width, self.height = options.size()
        self.output_dir = writable_folder(task.output_dir)
        self.items = first_of_each_category(dataset.items, task.limit)
        self.batches = [
            batch
            for batch in share.of(cut_batches(self.items, options.batch_size))
            if not all(has_picture(self.output_dir, item) for item in batch)
        ]
        self._keep_settings()
        folder = self.output_dir / "journal"
        self.made_captions = Journal(folder, "captions", share.index)
        self.journal = Journal(folder, "manifest", share.index)
        self.failures: dict[Item, str] = {}
        self.notes: dict[Item, str] = {}
        self.taken: dict[str, Any] = {}

    def run(self) -> Outcome:
        """All stages; the first process then writes captions.json and manifest.csv."""
        self.segment()
        self.caption()
        self.generate()
        return self._finish()

    def segment(self) -> None:
        """Makes the masks that are asked for and missing."""
        if self.task.segment is None:
            return
        every = self.task.segment == ALL
        self.failures |= segment_items(
            self._open(load=["person"]),
            self._select(lambda item: every or not item.label_map.exists()),
            partial(load_segmenter, self.options),
            self.task.masks,
            notes=self.notes,
            **self._reading("segment"),
        )
        free_memory()

    def caption(self) -> None:
        """Makes the captions that are asked for and missing."""
        if self.task.caption is not None:
            every = self.task.caption == ALL
            self.failures |= caption_items(
                self._open(load=["person"]),
                self._select(lambda item: every or not self._has_caption(item)),
                partial(load_captioner, self.options),
                self.made_captions,
                known=self._read_captions(),
                seed=self.task.seed,
                **self._reading("caption"),
            )
            free_memory()
        self.captions |= self._read_captions()
        where = "" if self.task.caption_file is None else f" in {self.task.caption_file}"
        without = [item for batch in self._select() for item in batch if not self._has_caption(item)]
        self.failures |= {item: f"{item.garment.name}: no caption{where}" for item in without}

    def generate(self) -> None:
        """Makes the pictures that are missing."""
        batches = self._select()
        dataset = self._open(
            load=["person", "mask"],
            mask_dir=self.task.masks,
            mask_type=self.task.mask_type,
            width=self.width,
            height=self.height,
            resize_mode=self.options.resize_mode,
        )
        dataset.captions = self.captions
        self.failures |= generate_items(
            dataset,
            batches,
            load_pipeline=lambda: self._load_pipeline([item for batch in batches for item in batch]),
            output_dir=self.output_dir,
            journal=self.journal,
            precomputed=self.precomputed,
            seed=self.task.seed,
            **self._reading("try off"),
            width=self.width,
            height=self.height,
            num_inference_steps=self.options.num_inference_steps,
            guidance_scale=self.options.guidance_scale,
            preset=self.options.preset,
        )

    def _finish(self) -> Outcome:
        """Waits for the other processes; the first then writes captions.json and manifest.csv."""
        for item, reason in self.failures.items():
            self.journal.append(item.key, status="failed", reason=reason)
        outcome = gather_outcome(self.share, len(self.items), self.failures, self.notes)
        if self.share.is_first:
            for folder in {self.output_dir, self.task.masks or self.output_dir}:
                remove_leftovers(folder)
            if made := self._read_captions():
                write_captions(self._captions_file, made)
            write_manifest(self.output_dir / "manifest.csv", self.items, self.journal, self.task.seed)
        return outcome

    @property
    def _captions_file(self) -> Path:
        return self.output_dir / "captions.json"

    def _read_captions(self) -> dict[str, str]:
        """Captions made by this run and earlier ones: the journal's, and the file's in case the journal is damaged."""
        try:
            written = read_captions(self._captions_file)
        except (FileNotFoundError, ValueError):
            written = {}
        return written | read_journal(self.made_captions)

    def _open(self, **options: Any) -> TryOffDataset:
        task = self.task
        chosen = {"phase": task.phase, "order": task.order, "category": task.category}
        return open_dataset(task.dataset_name, task.dataset_root, **chosen, **options)

    def _select(self, wanted: Callable[[Item], bool] = lambda _: True) -> list[list[Item]]:
        """The batches without unwanted and failed items; the same in every run."""
        chosen = [[i for i in batch if i not in self.failures and wanted(i)] for batch in self.batches]
        return [batch for batch in chosen if batch]

    def _has_caption(self, item: Item) -> bool:
        return item.id in self.captions or self.precomputed.has_caption(item)

    def _reading(self, stage: str) -> dict[str, Any]:
        return {"num_workers": self.task.num_workers, "progress": lambda batches: self.progress(batches, stage)}

    def _load_pipeline(self, items: list[Item]) -> TryOffPipeline:
        """The pipeline, without the text encoders if all captions are encoded already."""
        encoded = self.precomputed.has_empty_caption and all(map(self.precomputed.has_caption, items))
        loaded = load_pipeline(self.options, len(items), **dict.fromkeys(TEXT_PARTS) if encoded else {})
        self.taken = loaded.taken
        return loaded.pipe

    def _keep_settings(self) -> None:
        """Stops a run whose settings differ from those of the pictures already in the folder."""
        path = self.output_dir / "settings.json"
        may_change = ("compile",) if self.options.compile is None else ()
        self.options = self._settle(read_settings(path) or {})
        task, options = self.task, self.options
        settings = {name: getattr(task, name) for name in _TASK_SETTINGS}
        settings |= {name: getattr(options, name) for name in _OPTION_SETTINGS}
        settings |= {name: getattr(options.sources, name) for name in ("base", "tryoff", "segmenter", "captioner")}
        settings |= {"width": self.width, "height": self.height, "dtype": str(DTYPES[options.precision])}
        for name in _PATH_SETTINGS:
            source = getattr(task, name)
            settings[_OLD_NAMES.get(name, name)] = None if source is None else source.name
        keep_settings(path, settings, may_change)

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
        if compiled is None:
            compiled = begun.get("compile") is True or is_compiling_worth_it(-(-left // self.share.count))
        precision = options.precision
        if precision is None:
            names = {str(dtype): name for name, dtype in DTYPES.items()}
            precision = names.get(begun.get("dtype"))
            if precision is None or (precision != "no" and not multiplies_bf16(choose_device(options.device))):
                precision = names[self.share.gather([str(pipeline_dtype(options))])[0]]
        return replace(options, compile=compiled, precision=precision)


_OLD_NAMES = {"caption_file": "coarse_caption_file"}  # so that runs begun by earlier versions can be resumed
_PATH_SETTINGS = ("caption_file", "mask_dir", "text_features_dir", "image_features_dir")  # compared by their last part
_TASK_SETTINGS = ("dataset_name", "phase", "order", "segment", "mask_type", "caption", "seed")
_OPTION_SETTINGS = ("resize_mode", "guidance_scale", "num_inference_steps", "preset", "compile")
_OPTION_SETTINGS += ("attention_backend", "vae_tiling", "quantize_text_encoder", "quantize_transformers")
_OPTION_SETTINGS += ("image_encoder_large", "image_encoder_bigG", "revision", "variant")

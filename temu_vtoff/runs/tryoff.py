"""Product pictures for a split of a dataset: makes masks and captions if the task asks for them, then the pictures."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from temu_vtoff.backends.registry import EDITORS
from temu_vtoff.datasets import Item, TryOffDataset
from temu_vtoff.datasets.captions import read_captions
from temu_vtoff.datasets.features import ImageFeatures, TextFeatures
from temu_vtoff.datasets.masks import generated_mask_path
from temu_vtoff.errors import ArgumentError
from temu_vtoff.finishing import Finish
from temu_vtoff.hardware.devices import free_memory
from temu_vtoff.runs.captioning import caption_items, read_journal, write_captions
from temu_vtoff.runs.dataset_run import DatasetRun
from temu_vtoff.runs.finishing import Finisher
from temu_vtoff.runs.generation import generate_items
from temu_vtoff.runs.journal import Journal
from temu_vtoff.runs.precomputed import Precomputed, make_products
from temu_vtoff.runs.segmenting import GarmentMasks
from temu_vtoff.runs.task import ALL, TryOffTask
from temu_vtoff.stages.checking import check_sources
from temu_vtoff.stages.models import load_captioner, load_pipeline, load_upscaler
from temu_vtoff.stages.warnings import is_from_behind
from temu_vtoff.tryoff.components import TEXT_PARTS
from temu_vtoff.tryoff.pipeline import TryOffPipeline


class DatasetTryOff(DatasetRun):
    """See `DatasetRun`. Besides the pictures it writes captions.json."""

    task: TryOffTask
    task_settings = (*DatasetRun.task_settings, "mask_type", "caption")
    option_settings = (*DatasetRun.option_settings, "quantize_text_encoder", "revision", "variant")

    @property
    def models(self) -> dict[str, Any]:
        return asdict(self.options.sources)

    def _stages(self) -> None:
        self.from_behind: set[Item] = set()  # found by the segmenter
        self.made_captions = Journal(self.output_dir / "journal", "captions", self.share.index)
        known = self._read_captions()
        uncaptioned = any(item.id not in known for batch in self._uncaptioned() for item in batch)
        check_sources(self.options, segmenter=bool(self._unsegmented()), captioner=uncaptioned)
        self.segment()
        self.caption()
        self.generate()

    def segment(self) -> None:
        """Makes the masks that are asked for and missing."""
        self._segment(partial(generated_mask_path, self.task.masks), GarmentMasks(self.notes, self.from_behind))

    def caption(self) -> None:
        """Makes the captions that are asked for and missing."""
        if self.task.caption is not None:
            self.failures |= caption_items(
                self._open(load=["person"]),
                self._uncaptioned(),
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

    def _uncaptioned(self) -> list[list[Item]]:
        """The batches whose captions are asked for and missing."""
        every = self.task.caption == ALL
        return [] if self.task.caption is None else self._select(lambda i: every or not self._has_caption(i))

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
            make=partial(make_products, precomputed=self.precomputed, seed=self.task.seed, **self._sampling()),
            output_dir=self.output_dir,
            journal=self.journal,
            finisher=self._finisher(dataset),
            seed=self.task.seed,
            **self._reading("try off"),
        )

    def _finisher(self, dataset: TryOffDataset) -> Finisher:
        finish = Finish() if self.options.finish is None else self.options.finish
        return Finisher(
            finish, load_upscaler(self.options), self.options.resize_mode, partial(self._is_from_behind, dataset)
        )

    def _is_from_behind(self, dataset: TryOffDataset, item: Item) -> bool:
        if item in self.from_behind:
            return True
        try:
            return is_from_behind(dataset.label_map(item), dataset.labels)
        except (FileNotFoundError, ValueError):  # masks were made without one, or come from elsewhere
            return False

    def _read_inputs(self, dataset: TryOffDataset) -> None:
        dataset.require_unique_ids()
        task, backend = self.task, self.options.backend
        given = [name for name in ("text_features_dir", "image_features_dir") if getattr(task, name) is not None]
        if backend in EDITORS and given:
            raise ArgumentError(
                f"{{{given[0]}}} is for temu-vtoff: leave it out with {{backend}} {backend}.", given[0], "backend"
            )
        self.captions = {} if task.caption_file is None else read_captions(task.caption_file)
        self.precomputed = Precomputed(
            text=None if task.text_features_dir is None else TextFeatures(task.text_features_dir),
            image=None if task.image_features_dir is None else ImageFeatures(task.image_features_dir),
        )

    def _more_settings(self) -> dict[str, Any]:
        finish = self.options.finish
        settings = self.models | {"finish": None if finish is None else asdict(finish)}
        for name in _PATH_SETTINGS:
            source = getattr(self.task, name)
            settings[_OLD_NAMES.get(name, name)] = None if source is None else source.name
        options = self.options
        if options.backend in EDITORS or options.lora:  # left out otherwise, as runs of earlier versions have it
            settings |= {name: getattr(options, name) for name in _BACKEND_SETTINGS} | {"lora": [*options.lora]}
        return settings

    def _written_folders(self) -> set[Path]:
        return {self.output_dir, self.task.masks or self.output_dir}

    def _write_lists(self) -> None:
        if made := self._read_captions():
            write_captions(self._captions_file, made)
        super()._write_lists()

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

    def _has_caption(self, item: Item) -> bool:
        return item.id in self.captions or self.precomputed.has_caption(item)

    def _load_pipeline(self, items: list[Item]) -> TryOffPipeline:
        """The pipeline, without the text encoders if all captions are encoded already."""
        encoded = self.precomputed.has_empty_caption and all(map(self.precomputed.has_caption, items))
        loaded = load_pipeline(self.options, len(items), **dict.fromkeys(TEXT_PARTS) if encoded else {})
        self.taken = loaded.taken
        return loaded.pipe


_OLD_NAMES = {"caption_file": "coarse_caption_file"}  # so that runs begun by earlier versions can be resumed
_BACKEND_SETTINGS = ("backend", "prompt_template", "focus")
_PATH_SETTINGS = ("caption_file", "mask_dir", "text_features_dir", "image_features_dir")  # compared by their last part

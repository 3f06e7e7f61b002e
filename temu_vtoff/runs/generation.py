"""Product pictures for the items of a dataset, and the manifest that tells what became of each."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from temu_vtoff.files import write_text
from temu_vtoff.runs.journal import Journal
from temu_vtoff.runs.reading import read_batches
from temu_vtoff.runs.sharing import item_seed, unfinished
from temu_vtoff.runs.writing import PictureWriter

if TYPE_CHECKING:
    from temu_vtoff import TryOffPipeline
    from temu_vtoff.datasets import Item, Sample, TryOffDataset
    from temu_vtoff.datasets.features import ImageFeatures, TextFeatures

MANIFEST_COLUMNS = ("key", "status", "seed", "seconds", "reason")


def picture_path(output_dir: str | Path, item: Item) -> Path:
    """Where an item's product picture goes; it is there when the item is done."""
    return Path(output_dir) / f"{item.key}.png"


@dataclass
class Conditions:
    """Where the embeddings of captions and photos come from: from disk where they are, else from the pipeline."""

    pipe: TryOffPipeline
    text: TextFeatures | None = None
    image: ImageFeatures | None = None
    _empty: tuple[torch.Tensor, torch.Tensor] | None = None

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Arguments for the pipeline, of B samples."""
        items = [sample.item for sample in samples]
        prompt, pooled = zip(*(self._prompt(sample) for sample in samples), strict=True)
        empty, empty_pooled = self._empty_prompt()
        arguments = {
            "prompt_embeds": torch.cat(prompt),
            "pooled_prompt_embeds": torch.cat(pooled),
            "negative_prompt_embeds": empty.expand(len(items), -1, -1),
            "negative_pooled_prompt_embeds": empty_pooled.expand(len(items), -1),
        }
        if self.image is not None and all(self.image.has(item) for item in items):
            arguments["image_embeds"] = self.image.load(items)
        return arguments

    @torch.no_grad()
    def _prompt(self, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
        # One caption at a time: text encoders are a hundredth of the work, and no batch mate can change a rounding.
        if self.text is not None and self.text.has(sample.item):
            return self.text.load([sample.item])
        embeds, pooled = self.pipe.encode_captions([sample.caption])
        return embeds.cpu(), pooled.cpu()

    @torch.no_grad()
    def _empty_prompt(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._empty is None:
            if self.text is not None and self.text.has_empty_prompt():
                self._empty = self.text.load_empty_prompt()
            else:
                self._empty = tuple(x.cpu() for x in self.pipe.encode_captions([""]))
        return self._empty


def generate_items(
    dataset: TryOffDataset,
    batches: Sequence[Sequence[Item]],
    conditions: Conditions,
    output_dir: str | Path,
    journal: Journal,
    seed: int = 0,
    num_workers: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
    **pipeline_arguments: Any,
) -> dict[Item, str]:
    """Makes the pictures that are missing.

    Args:
        dataset: Loads persons and masks, at the size of the pictures.
        batches: Go through the model whole, whatever an earlier run had finished.
        conditions: Holds the pipeline; all items have a caption or precomputed text features.
        output_dir: Gets `picture_path` of each item.
        journal: Gets an entry for each item done or failed.
        seed: Each item's noise has its own seed, made of this one and the item.
        num_workers: Processes that read.
        progress: Wraps the batches; a progress bar, say.
        pipeline_arguments: Steps, guidance scale and so on.

    Returns:
        What was wrong with the items that got no picture.
    """
    failures: dict[Item, str] = {}
    to_do = unfinished(batches, lambda item: picture_path(output_dir, item).exists())
    with PictureWriter() as writer:
        for read in progress(read_batches(dataset, to_do, num_workers)):
            failures |= dict(read.failures)
            if not read.samples:
                continue
            started = time.perf_counter()
            seeds = [item_seed(sample.item, seed) for sample in read.samples]
            pictures = conditions.pipe(
                [sample.person for sample in read.samples],
                mask=[sample.mask for sample in read.samples],
                generator=[torch.Generator().manual_seed(s) for s in seeds],
                **conditions(read.samples),
                **pipeline_arguments,
            ).images
            seconds = round((time.perf_counter() - started) / len(pictures), 3)
            for sample, picture, item_seed_ in zip(read.samples, pictures, seeds, strict=True):
                path = picture_path(output_dir, sample.item)
                if not path.exists():
                    record = _Record(journal, sample.item.key, item_seed_, seconds)
                    writer.write(picture, path, then=record)
    return failures


@dataclass(frozen=True)
class _Record:
    """Notes an item as done, once its picture is on disk."""

    journal: Journal
    key: str
    seed: int
    seconds: float

    def __call__(self) -> None:
        self.journal.append(self.key, status="done", seed=self.seed, seconds=self.seconds)


def write_manifest(path: Path, items: Sequence[Item], journal: Journal, seed: int) -> list[Item]:
    """Writes one row for each item: done or failed, seed, seconds, and the reason of a failure.

    Items that earlier runs over other categories left in the journal follow at the end.

    Returns:
        The items without a picture.
    """
    entries = journal.read()
    table = io.StringIO()
    rows = csv.DictWriter(table, MANIFEST_COLUMNS, lineterminator="\n", extrasaction="ignore")
    rows.writeheader()
    undone = []
    for item in items:
        entry = entries.pop(item.key, {"key": item.key})
        if picture_path(path.parent, item).exists():  # the last word: a kill may come between picture and journal
            entry = {**entry, "status": "done", "reason": None}
        else:
            entry = {**entry, "status": "failed"}
            undone.append(item)
        rows.writerow({**entry, "seed": item_seed(item, seed)})
    rows.writerows(entries[key] for key in sorted(entries))
    write_text(path, table.getvalue())
    return undone

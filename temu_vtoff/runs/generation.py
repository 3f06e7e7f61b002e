"""Product pictures for the items of a dataset, and the manifest with the result of each item."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from temu_vtoff.files import write_text
from temu_vtoff.pictures import is_whole_picture
from temu_vtoff.runs.journal import Journal
from temu_vtoff.runs.reading import naming_killed_readers
from temu_vtoff.runs.sharing import item_seed
from temu_vtoff.runs.stage import Progress, each_batch, each_result
from temu_vtoff.runs.writing import PictureWriter
from temu_vtoff.serving import ErrorRow
from temu_vtoff.tryoff.outputs import NotFiniteError

if TYPE_CHECKING:
    from PIL import Image

    from temu_vtoff import TryOffPipeline
    from temu_vtoff.datasets import Item, Sample, TryOffDataset
    from temu_vtoff.datasets.features import ImageFeatures, TextFeatures

MANIFEST_COLUMNS = ("key", "status", "seed", "seconds", "reason")


def picture_path(output_dir: str | Path, item: Item) -> Path:
    """Path of an item's product picture."""
    return Path(output_dir) / f"{item.key}.png"


def has_picture(output_dir: str | Path, item: Item) -> bool:
    """Whether an item's picture exists and is whole."""
    return is_whole_picture(picture_path(output_dir, item))


@dataclass(frozen=True)
class Precomputed:
    """Embeddings made earlier; the pipeline computes missing ones.

    Attributes:
        text: Embeddings of the captions.
        image: Embeddings of the photos; used for a batch if all its items have them.
    """

    text: TextFeatures | None = None
    image: ImageFeatures | None = None

    def has_caption(self, item: Item) -> bool:
        """Whether an item's caption is encoded already."""
        return self.text is not None and self.text.has(item)

    @property
    def has_empty_caption(self) -> bool:
        """Whether the empty caption, for guidance, is encoded already."""
        return self.text is not None and self.text.has_empty_prompt()

    @torch.no_grad()
    def of(self, sample: Sample, pipe: TryOffPipeline) -> dict[str, torch.Tensor]:
        """The embeddings of one sample, as arguments of the pipeline with a batch of one.

        Captions are encoded one at a time, so that the rest of the batch can't change a rounding. The text encoders
        are a hundredth of the work.

        Raises:
            ValueError: A file is damaged.
        """
        if self.has_caption(sample.item):
            embeds, pooled = self.text.load([sample.item])
        else:
            embeds, pooled = pipe.encode_captions([sample.caption])
        arguments = {"prompt_embeds": embeds.cpu(), "pooled_prompt_embeds": pooled.cpu()}
        if self.image is not None and self.image.has(sample.item):
            arguments["image_embeds"] = self.image.load([sample.item])
        return arguments

    def of_empty_caption(self, count: int) -> dict[str, torch.Tensor]:
        """The embeddings of guidance's negative branch for a batch of `count`; empty if the pipeline must encode it."""
        if not self.has_empty_caption:
            return {}
        embeds, pooled = self.text.load_empty_prompt()
        return {
            "negative_prompt_embeds": embeds.expand(count, -1, -1),
            "negative_pooled_prompt_embeds": pooled.expand(count, -1),
        }


@naming_killed_readers()
def generate_items(
    dataset: TryOffDataset,
    batches: Iterable[Sequence[Item]],
    load_pipeline: Callable[[], TryOffPipeline],
    output_dir: str | Path,
    journal: Journal,
    *,
    precomputed: Precomputed | None = None,
    seed: int = 0,
    num_workers: int = 0,
    progress: Progress = iter,
    **pipeline_arguments: Any,
) -> dict[Item, str]:
    """Makes the pictures that are missing.

    Args:
        dataset: Dataset that loads persons and masks at the size of the pictures, with captions for all items without
            precomputed embeddings.
        batches: Argument of `each_batch`, like `load_pipeline`, `num_workers` and `progress`.
        output_dir: Folder of the pictures; see `picture_path`.
        journal: Journal that gets an entry for each finished item.
        seed: Random seed of the run; each item's own seed is derived from it.
        pipeline_arguments: Further arguments of the pipeline: steps, guidance scale and so on.

    Returns:
        The errors of the items that got no picture.
    """
    precomputed = Precomputed() if precomputed is None else precomputed
    failures: dict[Item, str] = {}
    errors = ErrorRow()
    steps = each_batch(
        dataset,
        batches,
        is_done=partial(has_picture, output_dir),
        load_model=load_pipeline,
        failures=failures,
        num_workers=num_workers,
        progress=progress,
    )

    make = partial(_make_pictures, precomputed=precomputed, seed=seed, **pipeline_arguments)
    with PictureWriter() as writer:
        for pipe, samples in steps:
            started = time.perf_counter()
            pictures = list(each_result(partial(make, pipe), samples, failures, errors))
            seconds = round((time.perf_counter() - started) / len(samples), 3)
            for sample, picture in pictures:
                item = sample.item
                if not has_picture(output_dir, item):
                    facts = {"status": "done", "seed": item_seed(item, seed), "seconds": seconds}
                    writer.write(
                        picture, picture_path(output_dir, item), then=partial(journal.append, item.key, **facts)
                    )
    return failures


def _make_pictures(
    pipe: TryOffPipeline, samples: Sequence[Sample], *, precomputed: Precomputed, seed: int, **pipeline_arguments: Any
) -> Sequence[Image.Image | Exception]:
    arguments = [precomputed.of(sample, pipe) for sample in samples]
    given = [name for name in arguments[0] if all(name in own for own in arguments)]
    try:
        return pipe(
            [sample.person for sample in samples],
            mask=[sample.mask for sample in samples],
            generator=[torch.Generator().manual_seed(item_seed(sample.item, seed)) for sample in samples],
            **{name: torch.cat([own[name] for own in arguments]) for name in given},
            **precomputed.of_empty_caption(len(samples)),
            **pipeline_arguments,
        ).images
    except NotFiniteError as error:
        return error.each()


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
    failed = []
    for item in items:
        entry = entries.pop(item.key, {"key": item.key})
        if has_picture(path.parent, item):  # a kill may come between picture and journal
            entry = {**entry, "status": "done", "reason": None}
        else:
            entry = {**entry, "status": "failed"}
            failed.append(item)
        rows.writerow({**entry, "seed": item_seed(item, seed)})
    rows.writerows(entries[key] for key in sorted(entries))
    write_text(path, table.getvalue())
    return failed

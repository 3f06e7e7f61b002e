"""Pictures for the items of a dataset, and the manifest with the result of each item."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from temu_vtoff.files import write_text
from temu_vtoff.pictures import is_whole_picture
from temu_vtoff.runs.finishing import Finisher
from temu_vtoff.runs.journal import Journal
from temu_vtoff.runs.sharing import item_seed
from temu_vtoff.runs.stage import run_stage
from temu_vtoff.runs.writing import PictureWriter

if TYPE_CHECKING:
    from PIL import Image
    from torch.utils.data import Dataset

    from temu_vtoff.datasets import Item, Sample

Pipeline = TypeVar("Pipeline")
MANIFEST_COLUMNS = ("key", "status", "seed", "seconds", "quality", "doubts", "warnings", "reason")


def picture_path(output_dir: str | Path, item: Item, suffix: str = ".png") -> Path:
    """Path of an item's picture."""
    return Path(output_dir) / f"{item.key}{suffix}"


def has_picture(output_dir: str | Path, item: Item, suffix: str = ".png") -> bool:
    """Whether an item's picture exists and is whole."""
    return is_whole_picture(picture_path(output_dir, item, suffix))


def generate_items(
    dataset: Dataset,
    batches: Iterable[Sequence[Item]],
    load_pipeline: Callable[[], Pipeline],
    make: Callable[[Pipeline, Sequence[Sample]], Sequence[Image.Image | Exception]],
    output_dir: str | Path,
    journal: Journal,
    *,
    finisher: Finisher | None = None,
    seed: int = 0,
    **reading: Any,
) -> dict[Item, str]:
    """Makes the pictures that are missing.

    Args:
        dataset: Dataset of what `make` reads.
        make: The pictures of a batch; an exception among them fails its sample.
        output_dir: Folder of the pictures; see `picture_path`.
        journal: Journal that gets an entry for each finished item.
        finisher: Scores and finishes the pictures; by default they are written as `make` returns them.
        seed: Random seed of the run, for the journal.
        reading: Arguments of `run_stage`: `num_workers` and `progress`.

    Returns:
        The errors of the items that got no picture.
    """
    suffix = ".png" if finisher is None else finisher.finish.suffix
    seconds: dict[Item, float] = {}

    def make_timed(pipe: Pipeline, samples: Sequence[Sample]) -> Sequence[Image.Image | Exception]:
        started = time.perf_counter()
        pictures = make(pipe, samples)
        each = round((time.perf_counter() - started) / len(samples), 3)
        seconds.update((sample.item, each) for sample in samples)
        return pictures

    with PictureWriter() as writer:

        def write(pipe: Pipeline, sample: Sample, picture: Image.Image) -> None:
            item, options = sample.item, {}
            facts = {"status": "done", "seed": item_seed(item, seed), "seconds": seconds.pop(item)}
            if finisher is not None:
                facts |= finisher.facts(picture, sample, pipe)
                picture, options = finisher.picture(picture, sample), finisher.finish.save_options()
            path = picture_path(output_dir, item, suffix)
            writer.write(picture, path, then=partial(journal.append, item.key, **facts), **options)

        return run_stage(
            dataset,
            batches,
            is_done=partial(has_picture, output_dir, suffix=suffix),
            load_model=load_pipeline,
            make=make_timed,
            keep=write,
            **reading,
        )


def write_manifest(path: Path, items: Sequence[Item], journal: Journal, seed: int, suffix: str = ".png") -> list[Item]:
    """Writes one row for each item: done or failed, seed, seconds, quality, doubts, and the reason of a failure.

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
        if has_picture(path.parent, item, suffix):  # a kill may come between picture and journal
            entry = {**entry, "status": "done", "reason": None}
        else:
            entry = {**entry, "status": "failed"}
            failed.append(item)
        rows.writerow({**entry, "seed": item_seed(item, seed)})
    rows.writerows(entries[key] for key in sorted(entries))
    write_text(path, table.getvalue())
    return failed

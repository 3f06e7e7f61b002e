"""Masks or label maps for every photo of a folder: photos are decoded and files written while the model runs; stopped
runs resume."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from temu_vtoff.builtin import BUILTIN
from temu_vtoff.errors import check_least
from temu_vtoff.files import writable_folder
from temu_vtoff.hardware.devices import choose_device
from temu_vtoff.hub.errors import HubUnreachableError
from temu_vtoff.hub.sources import PUBLISHED_SEGMENTER
from temu_vtoff.pictures import open_picture
from temu_vtoff.segmentation.folder_jobs import Job, Target, list_jobs
from temu_vtoff.segmentation.masks import GarmentMask, label_ids
from temu_vtoff.segmentation.people import OnePerson
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.serving import ErrorRow, describe, results_of

Item = TypeVar("Item")


@dataclass
class BatchReport:
    """The results for the photos of a folder.

    Attributes:
        written: Photos whose masks were made.
        skipped: Photos whose masks an earlier run had finished.
        substituted: Photos without the garment, with the labels that were used instead.
        crowds: Photos of several people, with a sentence on whose masks were made.
        errors: Photos without masks, with the reason.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    substituted: dict[Path, str] = field(default_factory=dict)
    crowds: dict[Path, str] = field(default_factory=dict)
    errors: dict[Path, Exception] = field(default_factory=dict)

    @property
    def failed(self) -> dict[Path, str]:
        """Photos without masks, with the reason in one sentence."""
        return {photo: describe(error) for photo, error in self.errors.items()}

    def add(self, photo: Path, outcome: Future[tuple[OnePerson, GarmentMask | None]]) -> None:
        """Adds what became of a photo.

        Raises:
            OSError: Its files can't be written, and so no others.
        """
        try:
            one, garment = outcome.result()
        except Exception as error:
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                raise
            self.errors[photo] = error
            return
        self.written.append(photo)
        if one.note is not None:
            self.crowds[photo] = one.note
        if garment is not None and garment.note is not None:
            self.substituted[photo] = ", ".join(garment.labels)


def batch_segment_clothing(
    img_dir: str | Path,
    out_dir: str | Path,
    category: str = "upper_body",
    clothes: Sequence[str] | None = None,
    model: str | Path = PUBLISHED_SEGMENTER,
    device: str | None = None,
    batch_size: int = 8,
    num_workers: int = 4,
    overwrite: bool = False,
    progress: bool = True,
    person: int | None = None,
    label_maps: str | None = None,
) -> BatchReport:
    """Segments every picture of a folder and its subfolders into the same subfolders of `out_dir`.

    Arguments not listed here are those of `segment_clothing`. The built-in model is used only if `model` names it.

    Args:
        batch_size: Photos that go through the model together. The batches are cut from the whole folder, so that a
            resumed run has the same batches and writes the same bytes.
        num_workers: Threads that decode and write.
        overwrite: Make finished files again.
        progress: Show a progress bar on standard error.
        label_maps: Write label maps in the ids and under the names of a dataset, a key of
            `temu_vtoff.segmentation.layouts.LAYOUTS`, instead of masks.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: No pictures, wrong arguments, existing masks made with other settings, a folder that can't be
            written, or a model that can't be loaded. Errors of single photos are in the report.
    """
    check_least("batch_size", batch_size)
    check_least("num_workers", num_workers)
    target = Target(category, clothes, person, label_maps)
    jobs = list_jobs(Path(img_dir), writable_folder(out_dir), target, target.describe(model))
    todo = {job for job in jobs if overwrite or not job.finished}
    report = BatchReport(skipped=[job.photo for job in jobs if job not in todo])
    if not todo:
        return report
    batches = [jobs[i : i + batch_size] for i in range(0, len(jobs), batch_size)]
    batches = [batch for batch in batches if not todo.isdisjoint(batch)]
    segmenter = _load(model, device)
    if label_maps is None:
        label_ids(category, clothes, segmenter.labels)  # raises before anything is written
    with tqdm(total=len(todo), desc="segment", disable=not progress) as bar, ThreadPoolExecutor(num_workers) as pool:
        outcomes = (
            (job, opening if ids is None else pool.submit(job.write, opening.result(), ids, segmenter.labels))
            for job, opening, ids in _label_maps(segmenter, batches, pool, ahead=2 * batch_size)
            if job in todo or ids is None
        )
        for job, outcome in _delayed(outcomes, batch_size):  # a batch is written while the next is segmented
            bar.update()
            report.add(job.photo, outcome)
    return report


def _load(model: str | Path, device: str | None) -> ClothSegmenter:
    try:
        return ClothSegmenter.from_pretrained(model, choose_device(device))
    except HubUnreachableError as error:
        raise HubUnreachableError(f"{error} For drawn people the model {BUILTIN} will do.") from error


def _label_maps(
    segmenter: ClothSegmenter, batches: Sequence[Sequence[Job]], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[Job, Future[Image.Image], np.ndarray | None]]:
    """Opens the photos in the pool, `ahead` of the model, and yields each job with its photo and label map.

    The label map is None for a photo that can't be read or segmented; the future then raises the error.
    """
    row = ErrorRow()
    opened = _delayed((pool.submit(open_picture, job.photo) for job in chain(*batches)), ahead)
    for batch in batches:
        photos = {}
        for job, opening in zip(batch, opened, strict=False):
            if opening.exception() is None:
                photos[job] = opening
            else:
                yield job, opening, None

        def segment(jobs: Sequence[Job], photos: dict[Job, Future[Image.Image]] = photos) -> list[np.ndarray]:
            return segmenter.label_maps([photos[job].result() for job in jobs])

        for job, label_map in results_of(segment, list(photos), row):
            if isinstance(label_map, Exception):
                failed: Future[Image.Image] = Future()
                failed.set_exception(label_map)
                yield job, failed, None
            else:
                yield job, photos[job], label_map


def _delayed(items: Iterable[Item], by: int) -> Iterator[Item]:
    """The items, each yielded after the next `by` items were made, so that the work they started runs meanwhile."""
    waiting: deque[Item] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > by:
            yield waiting.popleft()
    yield from waiting

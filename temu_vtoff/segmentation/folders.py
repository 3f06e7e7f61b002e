"""Masks or label maps for every photo of a folder: photos are decoded and files written while the model runs; stopped
runs resume."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from temu_vtoff.builtin import BUILTIN
from temu_vtoff.errors import ArgumentError, check_choice
from temu_vtoff.files import writable_folder
from temu_vtoff.hardware.devices import choose_device
from temu_vtoff.hub.errors import HubUnreachableError
from temu_vtoff.hub.sources import PUBLISHED_SEGMENTER
from temu_vtoff.pictures import is_whole_picture, list_photos, open_picture, save_picture, unique_stems
from temu_vtoff.segmentation.categories import CATEGORIES
from temu_vtoff.segmentation.conversion import convert_label_map
from temu_vtoff.segmentation.labels import ATR, Labels
from temu_vtoff.segmentation.layouts import LAYOUTS, check_layout, check_place
from temu_vtoff.segmentation.masks import MASK_ENDINGS, GarmentMask, garment_mask, label_ids, mask_picture, masked_image
from temu_vtoff.segmentation.people import OnePerson, check_person, one_person
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


@dataclass(frozen=True)
class _Wish:
    """What is made of each photo.

    Attributes:
        category, clothes, person: Arguments of `batch_segment_clothing`.
        layout: Layout of the label map that is written instead of masks.
    """

    category: str
    clothes: Sequence[str] | None
    person: int | None
    layout: str | None

    def describe(self, model: str | Path) -> str:
        """For the files: what they were made with."""
        if self.layout is not None:
            what = f"label maps of {self.layout}"
        elif self.clothes is not None:
            what = ", ".join(next((n for n in ATR.names if n.lower() == name.lower()), name) for name in self.clothes)
        else:  # in ATR's words, which earlier versions wrote
            known = self.category in ATR.categories
            what = ", ".join(ATR.name_all(ATR.of_category(self.category))) if known else self.category
        return f"{model} for {what}" + (f", person {self.person}" if self.person is not None else "")

    def files(self, stem: Path) -> list[Path]:
        """The files of a photo; the first one holds the settings."""
        if self.layout is not None:
            return [stem.with_name(LAYOUTS[self.layout].name(stem.name))]
        return [stem.with_name(stem.name + ending) for ending in MASK_ENDINGS]


@dataclass(eq=False)
class _Job:
    photo: Path
    stem: Path  # output path without ending
    wish: _Wish
    settings: str  # kept in the first file

    @cached_property
    def finished(self) -> bool:
        """Whether an earlier run with the same settings made the files.

        Raises:
            ValueError: A run with other settings did.
        """
        first, *others = self.wish.files(self.stem)
        if not is_whole_picture(first):
            return False
        with Image.open(first) as picture:
            found = picture.info.get("Settings", "unknown settings")
        if found != self.settings:
            raise ValueError(
                f"{first} is there already, made with {found}, not {self.settings}: choose another "
                "output folder, or overwrite them."
            )
        return all(map(is_whole_picture, others))

    def write(self, photo: Image.Image, label_map: np.ndarray, labels: Labels) -> tuple[OnePerson, GarmentMask | None]:
        """Makes the garment's mask, or the label map, and writes the files."""
        wish, garment = self.wish, None
        one = one_person(label_map, labels, wish.person, details=wish.clothes is not None)
        if wish.layout is not None:
            pictures = [convert_label_map(one.label_map, labels, wish.layout)]
        else:
            garment = garment_mask(one.label_map, wish.category, wish.clothes, labels)
            pictures = [mask_picture(garment.mask), masked_image(photo, garment.mask)]
        first, *others = wish.files(self.stem)
        first.parent.mkdir(parents=True, exist_ok=True)
        settings = PngInfo()
        settings.add_text("Settings", self.settings)
        for picture, path in zip(pictures[1:], others, strict=True):
            save_picture(picture, path, compress_level=1)
        save_picture(pictures[0], first, pnginfo=settings)
        return one, garment


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
    wish = _Wish(category, clothes, person, label_maps)
    _check(wish, batch_size, num_workers)
    jobs = _list_jobs(Path(img_dir), writable_folder(out_dir), wish, wish.describe(model))
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
            try:
                one, garment = outcome.result()
            except Exception as error:
                if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                    raise  # nothing can be written
                report.errors[job.photo] = error
                continue
            report.written.append(job.photo)
            if one.note is not None:
                report.crowds[job.photo] = one.note
            if garment is not None and garment.note is not None:
                report.substituted[job.photo] = ", ".join(garment.labels)
    return report


def _check(wish: _Wish, batch_size: int, num_workers: int) -> None:
    """Raises for wrong arguments."""
    if batch_size < 1 or num_workers < 1:
        raise ArgumentError(
            f"{{batch_size}} is {batch_size}, {{num_workers}} {num_workers}; give at least 1.",
            "batch_size",
            "num_workers",
        )
    check_choice("category", wish.category, CATEGORIES)
    check_person(wish.person)
    if wish.layout is not None:
        check_layout(wish.layout)


def _load(model: str | Path, device: str | None) -> ClothSegmenter:
    try:
        return ClothSegmenter.from_pretrained(model, choose_device(device))
    except HubUnreachableError as error:
        raise HubUnreachableError(f"{error} For drawn people the model {BUILTIN} will do.") from error


def _list_jobs(img_dir: Path, out_dir: Path, wish: _Wish, settings: str) -> list[_Job]:
    if not img_dir.is_dir():
        raise FileNotFoundError(f"There is no folder {img_dir}.")
    if wish.layout is not None:
        check_place(wish.layout, out_dir, img_dir)
    folders: dict[Path, list[Path]] = {}
    for photo in list_photos(img_dir, recursive=True):
        folders.setdefault(photo.parent, []).append(photo)
    if not folders:
        raise ValueError(f"There are no pictures in the folder {img_dir}.")
    jobs = [
        _Job(photo, out_dir / folder.relative_to(img_dir) / stem, wish, settings)
        for folder, photos in folders.items()
        for photo, stem in zip(photos, unique_stems(photos), strict=True)
    ]
    made: dict[Path, Path] = {}
    for job in jobs:
        first = wish.files(job.stem)[0]
        if first in made:
            raise ValueError(f"{made[first]} and {job.photo} would both become {first}: rename one of them.")
        made[first] = job.photo
    return jobs


def _label_maps(
    segmenter: ClothSegmenter, batches: Sequence[Sequence[_Job]], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[_Job, Future[Image.Image], np.ndarray | None]]:
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

        def segment(jobs: Sequence[_Job], photos: dict[_Job, Future[Image.Image]] = photos) -> list[np.ndarray]:
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

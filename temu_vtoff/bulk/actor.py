"""What the actors of all stages share: blocks of rows in and out, and a photo that kills or stops no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pyarrow as pa
import ray
from PIL import Image

from temu_vtoff.bulk.job import BulkJob
from temu_vtoff.bulk.ledger import MOST_DEATHS
from temu_vtoff.bulk.rows import Photo, photos_of, table_of
from temu_vtoff.errors import CommonCauseError, is_out_of_gpu_memory
from temu_vtoff.hardware.devices import choose_device
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.tryoff import TryOff
from temu_vtoff.stages.tryon_options import of_tryoff

_MANY = 10**6  # pictures, so that the pipeline is compiled on GPUs


class Stage:
    """An actor of one stage; called with a table of `rows.ROW`, it returns one with the same ids.

    Args:
        job: The run.
        options: Models and how they run, those of try-on where the job dresses persons; `finish` is for its stage.
        ledger: The actor `Ledger`.
    """

    name: str

    def __init__(self, job: BulkJob, options: Options, ledger: ray.actor.ActorHandle) -> None:
        limit_memory(job.worker_memory)
        self.job, self.ledger, self.tryon = job, ledger, options
        self.options = of_tryoff(options)
        self.toolkit = TryOff(self.options, keep_loaded=True)
        self._broken: Exception | None = None
        try:
            self.prepare()
        except Exception as error:  # raised by the first call: Ray hides the cause of what ends a constructor
            self._broken = error

    def prepare(self) -> None:
        """Loads the model."""

    def serve(self, photos: list[Photo]) -> None:
        """Fills in the photos; errors of single garments are kept in them."""
        raise NotImplementedError

    def __call__(self, table: pa.Table) -> pa.Table:
        if self._broken is not None:
            raise self._broken
        photos = photos_of(table)
        deaths = ray.get(self.ledger.deaths.remote(self.name, [photo.id for photo in photos]))
        for photo, count in zip(photos, deaths, strict=True):
            if count >= MOST_DEATHS:
                photo.fail(f"its worker died {count} times at it ({self.name}): out of memory?")
        for group in _groups(photos, deaths, self.options.batch_size):
            ids = [photo.id for photo in group]
            ray.get(self.ledger.begin.remote(self.name, ids))
            started = time.perf_counter()
            self._serve(group)
            self.ledger.end.remote(self.name, ids, time.perf_counter() - started)
        return table_of(photos)

    def _serve(self, photos: list[Photo]) -> None:
        """Serves a group; where that fails, each photo alone."""
        sound = [photo for photo in photos if photo.error is None]
        try:
            if sound:
                self.serve(sound)
        except (CommonCauseError, CheckpointError):
            raise
        except Exception as error:
            if is_out_of_gpu_memory(error):
                raise
            if len(sound) == 1:
                sound[0].fail(error)
                return
            for photo in sound:
                self._serve([photo])


def many_pictures(options: Options) -> int:
    """How many pictures a pipeline is loaded for: compiling for a CPU takes minutes in every actor."""
    return _MANY if choose_device(options.device).type == "cuda" else 1


def limit_memory(gigabytes: float | None) -> None:
    """Makes allocations beyond the limit fail in this process, so that a photo too large is an error of its own."""
    if gigabytes is not None:
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 2**30), resource.RLIM_INFINITY))


def open_photo(photo: Photo, picture: Callable[[Photo], Image.Image] = Photo.picture) -> Image.Image | None:
    """The photo's picture, or another of its pictures; None if the photo has an error."""
    if photo.error is None:
        try:
            return picture(photo)
        except Exception as error:  # damaged files, too large ones
            photo.fail(error)
    return None


def _groups(photos: Sequence[Photo], deaths: Sequence[int], size: int) -> list[list[Photo]]:
    """Batches of photos; those at which a worker died are served alone, so that they stop no others."""
    calm = [photo for photo, count in zip(photos, deaths, strict=True) if not count]
    alone = [photo for photo, count in zip(photos, deaths, strict=True) if 0 < count < MOST_DEATHS]
    return [calm[start : start + size] for start in range(0, len(calm), size)] + [[photo] for photo in alone]

"""The stages as Ray actors: each holds its model and takes blocks of rows; the work is that of `TryOff`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import ray
from PIL import Image

from temu_vtoff.backends.registry import categories_of
from temu_vtoff.bulk.job import BulkJob
from temu_vtoff.bulk.ledger import MOST_DEATHS
from temu_vtoff.bulk.reading import fetch
from temu_vtoff.bulk.rows import Photo, Piece, photo_seed, photos_of, table_of
from temu_vtoff.captioning.server import ApiCaptioner
from temu_vtoff.errors import CommonCauseError, is_out_of_gpu_memory
from temu_vtoff.finishing.finish import Finish
from temu_vtoff.hardware.devices import choose_device
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.serving import describe
from temu_vtoff.stages.garment import ALL, Product
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.selecting import finished
from temu_vtoff.stages.tryoff import TryOff

_FETCHES = 8  # photos fetched at once
_MANY = 10**6  # pictures, so that the pipeline is compiled on GPUs


class Stage:
    """An actor of one stage; called with a table of `rows.ROW`, it returns one with the same ids.

    Args:
        job: The run.
        options: Models and how they run; `finish` is for the finish stage.
        ledger: The actor `Ledger`.
    """

    name: str

    def __init__(self, job: BulkJob, options: Options, ledger: ray.actor.ActorHandle) -> None:
        limit_memory(job.worker_memory)
        self.job, self.options, self.ledger = job, options, ledger
        self.toolkit = TryOff(options, keep_loaded=True)
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
            self._serve(group)
            self.ledger.end.remote(self.name, ids)
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


class Segment(Stage):
    """Fetches the photos and finds the garments."""

    name = "segment"

    def prepare(self) -> None:
        self.toolkit.segmenter()

    def serve(self, photos: list[Photo]) -> None:
        with ThreadPoolExecutor(_FETCHES) as pool:
            list(pool.map(_fetch, [photo for photo in photos if photo.photo is None]))
        wanted: dict[str, list[tuple[Photo, Image.Image]]] = {}
        for photo in photos:
            category = self.job.category if photo.category is None else photo.category
            if category not in (offered := (*categories_of(self.options.backend), ALL)):
                photo.fail(f"its category is {category!r}; choose one of {', '.join(offered)}.")
            if (picture := _open(photo)) is not None:
                wanted.setdefault(category, []).append((photo, picture))
        for category, some in wanted.items():
            of_picture = {id(picture): photo for photo, picture in some}
            for garment in self.toolkit.segment([picture for _, picture in some], category):
                photo = of_picture[id(garment.photo)]
                garment.name = f"{photo.id}_{garment.category}" if category == ALL else photo.id
                garment.caption = photo.caption
                photo.pieces.append(Piece(garment))


class Caption(Stage):
    """Captions the garments, by the captioner or by a server."""

    name = "caption"

    def prepare(self) -> None:
        if self.job.caption_server is None:
            self.toolkit.captioner()
        else:
            model = self.options.sources.captioner
            self.toolkit = _TryOffByServer(self.options, ApiCaptioner(self.job.caption_server, model))

    def serve(self, photos: list[Photo]) -> None:
        self.toolkit.caption([piece.garment for piece in _with_pictures(photos)])


class _TryOffByServer(TryOff):
    """`TryOff` whose captioner is a server."""

    def __init__(self, options: Options, server: ApiCaptioner) -> None:
        super().__init__(options, keep_loaded=True)
        self._server = server

    def captioner(self) -> ApiCaptioner:
        return self._server


class TryOffStage(Stage):
    """Makes the product pictures."""

    name = "try_off"

    def prepare(self) -> None:
        on_gpu = choose_device(self.options.device).type == "cuda"
        self.toolkit.pipeline(_MANY if on_gpu else 1)  # compiling for a CPU takes minutes in every actor

    def serve(self, photos: list[Photo]) -> None:
        for photo in photos:
            for piece in _with_pictures([photo]):
                seed = photo_seed(photo.id, self.job.seed)
                for product in self.toolkit.generate([piece.garment], seed=seed):
                    if product.error is None:
                        piece.picture = _encoded(product.images[0], Finish())
                        piece.facts = product.facts()[0]


class FinishStage(Stage):
    """Background, frame and format of the product pictures."""

    name = "finish"

    def serve(self, photos: list[Photo]) -> None:
        finish = Finish() if self.options.finish is None else self.options.finish
        for piece in _with_pictures(photos):
            with Image.open(io.BytesIO(piece.picture)) as picture:
                product = Product(piece.garment, [picture.convert("RGB")])
            product = finished(product, finish, self.toolkit.upscaler())
            piece.picture = _encoded(product.finished[0], finish)


ACTORS: dict[str, type[Stage]] = {stage.name: stage for stage in (Segment, Caption, TryOffStage, FinishStage)}


def limit_memory(gigabytes: float | None) -> None:
    """Makes allocations beyond the limit fail in this process, so that a photo too large is an error of its own."""
    if gigabytes is not None:
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 2**30), resource.RLIM_INFINITY))


def _groups(photos: Sequence[Photo], deaths: Sequence[int], size: int) -> list[list[Photo]]:
    """Batches of photos; those at which a worker died are served alone, so that they stop no others."""
    calm = [photo for photo, count in zip(photos, deaths, strict=True) if not count]
    alone = [photo for photo, count in zip(photos, deaths, strict=True) if 0 < count < MOST_DEATHS]
    return [calm[start : start + size] for start in range(0, len(calm), size)] + [[photo] for photo in alone]


def _fetch(photo: Photo) -> None:
    try:
        photo.photo = fetch(photo.place)
    except Exception as error:  # of the disk, the object store, the web
        reason = describe(error)
        photo.fail(reason if reason.startswith(photo.place) else f"{photo.place} can't be fetched: {reason}")


def _open(photo: Photo) -> Image.Image | None:
    """The photo's picture; None if the photo has an error."""
    if photo.error is None:
        try:
            return photo.picture()
        except Exception as error:  # damaged files, too large ones
            photo.fail(error)
    return None


def _with_pictures(photos: Sequence[Photo]) -> list[Piece]:
    """The garments that can be served, each with its photo."""
    pieces = []
    for photo in photos:
        sound = photo.sound()
        if sound and (picture := _open(photo)) is not None:
            for piece in sound:
                piece.garment.photo = picture
            pieces += sound
    return pieces


def _encoded(picture: Image.Image, finish: Finish) -> bytes:
    data = io.BytesIO()
    kind = {"jpg": "JPEG"}.get(finish.output_format, finish.output_format)
    picture.save(data, kind, **finish.save_options())
    return data.getvalue()

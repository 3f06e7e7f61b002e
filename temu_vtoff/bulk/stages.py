"""The stages of try-off as Ray actors: each holds its model; the work is that of `TryOff`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from temu_vtoff.backends.registry import categories_of
from temu_vtoff.bulk.actor import Stage, many_pictures, open_photo
from temu_vtoff.bulk.reading import fetch
from temu_vtoff.bulk.rows import Photo, Piece, photo_seed
from temu_vtoff.bulk.trying_on import FitterFinder, TryOnStage
from temu_vtoff.captioning.server import ApiCaptioner
from temu_vtoff.finishing.finish import Finish
from temu_vtoff.segmentation.categories import DATASET_CATEGORIES
from temu_vtoff.serving import describe
from temu_vtoff.stages.garment import ALL, Garment, Product
from temu_vtoff.stages.options import Options
from temu_vtoff.stages.selecting import finished
from temu_vtoff.stages.selection import Selection
from temu_vtoff.stages.tryoff import TryOff

_FETCHES = 8  # photos fetched at once


class Segment(Stage):
    """Fetches the photos and finds the garments."""

    name = "segment"
    finder: FitterFinder | None = None

    def prepare(self) -> None:
        self.toolkit.segmenter()
        if self.job.dresses:
            self.finder = FitterFinder(self.job, self.tryon, self.toolkit)

    def serve(self, photos: list[Photo]) -> None:
        with ThreadPoolExecutor(_FETCHES) as pool:
            list(pool.map(_fetch, photos))
        offered = DATASET_CATEGORIES if self.job.dresses else (*categories_of(self.options.backend), ALL)
        wanted: dict[str, list[tuple[Photo, Image.Image]]] = {}
        for photo in photos:
            photo.pieces = []  # of an attempt together with other photos
            category = self.job.category if photo.category is None else photo.category
            if category not in offered:
                photo.fail(f"its category is {category!r}; choose one of {', '.join(offered)}.")
            if (picture := self._find_person(photo, category)) is not None:
                wanted.setdefault(category, []).append((photo, picture))
        for category, some in wanted.items():
            self._find_garments(category, some)

    def _find_person(self, photo: Photo, category: str) -> Image.Image | None:
        """The picture whose garments are wanted; None for none, because of an error or a given product picture."""
        if (picture := open_photo(photo)) is None or self.finder is None:
            return picture
        photo.fitter = self.finder.find(photo, picture, category)
        if photo.error is not None or photo.garment_is_worn:
            return open_photo(photo, Photo.garment_picture)
        photo.pieces = [Piece(Garment(picture, category, name=photo.id), is_given=True)]
        return None

    def _find_garments(self, category: str, some: list[tuple[Photo, Image.Image]]) -> None:
        """Fills in the garments of photos with one category."""
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
        self.toolkit.caption([piece.garment for piece in with_pictures(photos)])


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
        self.toolkit.pipeline(many_pictures(self.options))

    def serve(self, photos: list[Photo]) -> None:
        found = [(photo, piece) for photo in photos for piece in with_pictures([photo])]
        seeds = [photo_seed(photo.id, self.job.seed) for photo, _ in found]
        selection = Selection(score=self.job.score)
        products = self.toolkit.generate([piece.garment for _, piece in found], seed=seeds, selection=selection)
        for (_, piece), product in zip(found, products, strict=True):
            if product.error is None:
                piece.picture = _encoded(product.images[0], Finish())
                piece.facts = product.facts()[0]


class FinishStage(Stage):
    """Background, frame and format of the product pictures."""

    name = "finish"

    def serve(self, photos: list[Photo]) -> None:
        finish = Finish() if self.options.finish is None else self.options.finish
        for piece in with_pictures(photos):
            with Image.open(io.BytesIO(piece.picture)) as picture:
                product = Product(piece.garment, [picture.convert("RGB")])
            product = finished(product, finish, self.toolkit.upscaler())
            piece.picture = _encoded(product.finished[0], finish)


ACTORS: dict[str, type[Stage]] = {
    stage.name: stage for stage in (Segment, Caption, TryOffStage, TryOnStage, FinishStage)
}


def _fetch(photo: Photo) -> None:
    """Fetches the files of a photo that are only named."""
    for data, place in (("photo", photo.place), ("garment", photo.garment_place)):
        if photo.error is None and place is not None and getattr(photo, data) is None:
            try:
                setattr(photo, data, fetch(place))
            except Exception as error:  # of the disk, the object store, the web
                reason = describe(error)
                photo.fail(reason if reason.startswith(place) else f"{place} can't be fetched: {reason}")


def with_pictures(photos: Sequence[Photo]) -> list[Piece]:
    """The garments that can be taken off, each with its photo."""
    pieces = []
    for photo in photos:
        sound = [piece for piece in photo.sound() if not piece.is_given]
        if sound and (picture := open_photo(photo, Photo.source_picture)) is not None:
            for piece in sound:
                piece.garment.photo = picture
            pieces += sound
    return pieces


def _encoded(picture: Image.Image, finish: Finish) -> bytes:
    data = io.BytesIO()
    kind = {"jpg": "JPEG"}.get(finish.output_format, finish.output_format)
    picture.save(data, kind, **finish.save_options())
    return data.getvalue()

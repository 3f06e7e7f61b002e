"""Try-on in a bulk run: who is dressed and where, and the actor that puts garments on; the work is that of `TryOn`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from temu_vtoff.bulk.actor import Stage, many_pictures, open_photo
from temu_vtoff.bulk.job import BulkJob
from temu_vtoff.bulk.rows import Fitter, Photo, Piece, opened, photo_seed, png_of
from temu_vtoff.errors import CommonCauseError
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.stages.fitting_room import Pair
from temu_vtoff.stages.tryoff import TryOff
from temu_vtoff.stages.tryon import TryOn
from temu_vtoff.stages.tryon_options import TryOnOptions
from temu_vtoff.tryon.joints import read_joints


class FitterFinder(TryOn):
    """Finds the region of each person, with the segmenter of the garments.

    Args:
        job: The run.
        options: Of try-on.
        tryoff: Holds the segmenter.
    """

    def __init__(self, job: BulkJob, options: TryOnOptions, tryoff: TryOff) -> None:
        super().__init__(options, keep_loaded=True)
        self._job, self._tryoff = job, tryoff

    def segmenter(self) -> ClothSegmenter:
        return self._tryoff.segmenter()

    def find(self, photo: Photo, picture: Image.Image, category: str) -> Fitter | None:
        """The photo's person, with a product picture that was looked at; None where the photo then has an error.

        Args:
            photo: The row.
            picture: Its photo.
            category: What is put on.
        """
        try:
            joints = None if photo.joints is None else read_joints(Path(photo.joints))
            (person,) = self.prepare([picture], category, joints=joints)
            if person.error is not None:
                raise person.error
            if not (photo.garment_is_worn or self._job.any_garment):
                (looked_at,) = self.check_garments([photo.garment_picture()])
                if looked_at.error is not None:
                    raise looked_at.error
        except CommonCauseError:
            raise
        except (ValueError, OSError) as error:
            photo.fail(error)
            return None
        return Fitter.of(person)


class TryOnStage(Stage):
    """Puts the garments on the persons: product pictures that came with the photos, or that were made before."""

    name = "try_on"
    tryon: TryOnOptions

    def prepare(self) -> None:
        self.dresser = TryOn(self.tryon, keep_loaded=True)
        self.dresser.pipeline(many_pictures(self.tryon))

    def serve(self, photos: list[Photo]) -> None:
        every = [(piece, _pair(photo, piece)) for photo in photos for piece in photo.sound()]
        found = [(piece, pair) for piece, pair in every if pair is not None]
        seeds = [photo_seed(pair.name, self.job.seed) for _, pair in found]
        results = self.dresser.generate_pairs([pair for _, pair in found], seed=seeds, paste=self.job.paste)
        for (piece, _), seed, result in zip(found, seeds, results, strict=True):
            if result.error is not None:
                piece.garment.error = result.error
                continue
            piece.worn = png_of(result.images[0])
            piece.facts.setdefault("seed", seed)


def _pair(photo: Photo, piece: Piece) -> Pair | None:
    """The photo's person and the garment's product picture; None where the photo then has an error."""
    picture = open_photo(photo)
    garment = open_photo(photo, Photo.garment_picture) if piece.is_given else opened(piece.picture, photo.id)
    if picture is None or garment is None:
        return None
    return Pair(photo.fitter.person(picture, piece.garment.category, photo.id), garment, photo.id)

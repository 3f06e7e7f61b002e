"""The page's endpoints for programs: segment, caption, try_off, try_on and stop; no mask editor, no previews."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr
from PIL import Image

from temu_vtoff.finishing.finish import KEEP
from temu_vtoff.stages import Garment
from web_page.finishing import finish_of
from web_page.messages import Mistake, errors_in_one_sentence
from web_page.outfits import Outfits
from web_page.photos import open_uploaded_mask
from web_page.picture_tab import ONE_AT_A_TIME
from web_page.results import Result, file_name
from web_page.run import Run
from web_page.studio import FITS, Studio, check_category, whole

MOST_PEOPLE = 99  # in a photo


class Programs:
    """
    Args:
        studio: Does the work. Its models' size is the default.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.outfits = None if studio.models.fitting_room is None else Outfits(studio)
        endpoints = [self.segment, self.caption, self.try_off]
        if self.outfits is not None:
            endpoints.append(self.try_on)
        for endpoint in endpoints:
            gr.api(endpoint, api_name=endpoint.__name__, **ONE_AT_A_TIME)
        gr.api(self.stop, api_name="stop", queue=False)

    def segment(
        self, visitor: gr.Request, photo: dict[str, Any], category: str = "upper_body", whose: int | None = None
    ) -> dict[str, Any]:
        """The mask of a garment in a photo: white on the garment, of the photo's size.

        Args: photo: an uploaded file, in Python gradio_client.handle_file(path); category: upper_body, lower_body or
        dresses; whose: the person's number from left to right, from 1; the largest person's garment when left out.
        """
        with errors_in_one_sentence():
            mask = self.studio.segment_and_tell(self.studio.open(_path(photo)), category, _number(whose))
            file = self.studio.visits.start(visitor.session_hash).folder / f"{file_name(_path(photo))}_mask.png"
            mask.save(file)
            return _file(str(file))

    def caption(self, photo: dict[str, Any], category: str = "upper_body") -> str:
        """One line on the shape of a garment in a photo."""
        with errors_in_one_sentence():
            return self.studio.describe(self.studio.open(_path(photo)), category)

    def try_off(
        self,
        visitor: gr.Request,
        photo: dict[str, Any],
        mask: dict[str, Any] | None = None,
        category: str = "upper_body",
        caption: str = "",
        seed: int | None = 0,
        steps: int | None = None,
        guidance: float = 2.0,
        size: str | None = None,
        count: int = 1,
        fit: str = FITS[0],
        whose: int | None = None,
        background: str = KEEP,
        margin: float = 0,
        output_format: str = "png",
        best_first: bool = False,
    ) -> Iterator[list[dict[str, Any]]]:
        """The product pictures of a garment in a photo: for each the finished picture and a PNG that is cut out.

        Without a mask the garment is segmented (of the person number whose, from left to right), with an empty caption
        it is described, without a seed one is drawn. Steps and size are the model's own when left out. The background
        is keep, white, transparent or #RRGGBB, the margin a percentage, the output_format png, jpg or webp. With
        best_first the pictures come by their quality, otherwise by their seeds. Cancelling the job stops the work.
        """
        with errors_in_one_sentence():
            steps = self.studio.models.steps if steps is None else steps
            size = self.studio.models.own_size_name if size is None else size
            settings = replace(
                self.studio.settings(seed, steps, guidance=guidance, size=size, count=count, fit=fit),
                finish=finish_of(background, margin, output_format),
                best_first=bool(best_first),
            )
            garment = self._garment(photo, mask, category=category, caption=caption, whose=_number(whose))
            run = self.studio.visits.start(visitor.session_hash)
            results = yield from _follow(run, lambda: self.studio.try_off(run, garment, settings))
            _tell(results)
            yield [_file(str(file)) for result in results for file in (result.finished, result.cutout)]

    def try_on(
        self,
        visitor: gr.Request,
        person: dict[str, Any],
        garment: dict[str, Any],
        region: dict[str, Any] | None = None,
        category: str = "upper_body",
        worn: bool = False,
        seed: int | None = 0,
        steps: int | None = None,
        guidance: float = 2.0,
        count: int = 1,
        whose: int | None = None,
    ) -> Iterator[list[dict[str, Any]]]:
        """Pictures of a person in another garment, of the photo's size.

        The garment is a product picture or, with worn, a photo of somebody who wears it. Without a region, white where
        the person is repainted, it is found, of the person number whose from left to right; without a seed one is
        drawn; steps are the model's own when left out. Cancelling the job stops the work.
        """
        with errors_in_one_sentence():
            steps = self.studio.models.fitting_room.steps if steps is None else steps
            sampling = self.studio.sampling(seed, steps, guidance, count)
            path = _path(person, "person")
            photo, source = self.studio.open(path), _path(garment, "garment")
            if region is None:
                white = self.outfits.region(photo, category, _number(whose)).mask
            else:
                white = self._mask(region, "region", photo)
            outfit = self.outfits.outfit(path, white, garment=source, category=category, worn=worn)
            run = self.studio.visits.start(visitor.session_hash)
            results = yield from _follow(run, lambda: self.outfits.try_on(run, outfit, sampling))
            _tell(results)
            yield [_file(str(result.picture)) for result in results]

    def stop(self, visitor: gr.Request) -> bool:
        """Ends what runs for this session after the current step; whether there was anything."""
        return self.studio.visits.stop(visitor.session_hash)

    def _garment(self, photo: Any, mask: Any, category: str, caption: Any, whose: int | None) -> Garment:
        path = _path(photo)
        check_category(category)
        if not isinstance(caption, str):
            raise Mistake("caption is no text: give one, or an empty one to have it written.")
        picture = self.studio.open(path)
        if mask is None:
            white = self.studio.segment_and_tell(picture, category, whose)
        else:
            white = self._mask(mask, "mask", picture)
        self.studio.warn_of_long(caption)
        described = caption.strip() or self.studio.describe(picture, category)
        return Garment(picture, category, name=file_name(path), mask=white, caption=described)

    def _mask(self, value: Any, name: str, photo: Image.Image) -> Image.Image:
        white = open_uploaded_mask(_path(value, name), photo, self.studio.limits.megapixels)
        self.studio.warn_of_large(white)
        return white


def _follow(run: Run, work: Callable[[], list[Result]]) -> Generator[list[Any], None, list[Result]]:
    """Yields nothing yet for each step of the work; gives its results.

    Raises:
        Mistake: It was stopped.
    """
    with closing(run.follow(work)) as steps:
        for _ in steps:
            yield []
    results = run.result()
    if run.stopped.is_set():
        raise Mistake("stopped.")
    return results


def _tell(results: list[Result]) -> None:
    """Sends what is to be said about the pictures along with them."""
    for warning in dict.fromkeys(warning for result in results for warning in result.warnings):
        gr.Warning(warning)


def _number(whose: Any) -> int | None:
    """
    Raises:
        ArgumentError: It is no number of a person.
    """
    return None if whose is None else whole(whose, "person", 1, MOST_PEOPLE)


def _path(value: Any, name: str = "photo") -> str:
    """The path of an uploaded file, which `web_page.guard.Page` has checked.

    Raises:
        Mistake: It is no file.
    """
    if not isinstance(value, dict) or "path" not in value:
        raise Mistake(f"{name} is no file: upload one, in Python with gradio_client.handle_file(path).")
    return value["path"]


def _file(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}

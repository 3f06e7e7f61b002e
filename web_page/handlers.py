"""What happens on the page: each public method of `Handlers` answers one event, in the components' values."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from command_line import explain
from temu_vtoff.pictures import fit_picture, mask_doubt, unique_stems
from temu_vtoff.segmentation.masks import GarmentNotFoundError
from web_page.messages import status, told_in_one_sentence
from web_page.models import Models, Settings
from web_page.photos import from_editor, on_screen, open_upload, open_uploaded_mask, to_editor
from web_page.results import Result, save_results, zip_results
from web_page.visits import Run, Step, Visits

ALL = "all"  # the category that stands for every garment found
HISTORY = 24  # pictures of a visit that are remembered


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask for."""

    megapixels: float = 50
    photos: int = 16  # at once
    pictures: int = 4  # of one garment
    steps: int = 100


@dataclass(frozen=True)
class Request:
    """One garment of one photo, ready to be tried off."""

    photo: Image.Image
    mask: Image.Image
    caption: str
    name: str


class Handlers:
    """
    Args:
        models: Serve all visitors.
        visits: Know who is here.
        limits: Hold for every visitor.
    """

    def __init__(self, models: Models, visits: Visits, limits: Limits) -> None:
        self.models, self.visits, self.limits = models, visits, limits

    # --- one photo, on the page ---------------------------------------------------------------------------------

    def look(self, path: str | None, category: str) -> tuple[str, dict[str, Any] | None]:
        """A new photo: a category that it shows, the wanted one if possible, and its mask for the editor."""
        if path is None:
            return category, None
        with told_in_one_sentence():
            found = self.models.categories_in(self._open(path))
        if found and category not in found:
            category = found[0]
        return category, self.show_mask(path, category)

    def show_mask(self, path: str | None, category: str) -> dict[str, Any] | None:
        """The photo with its mask, for the editor; without one, to paint by hand, where the garment isn't found."""
        if path is None:
            return None
        with told_in_one_sentence():
            photo = self._open(path)
            try:
                return to_editor(photo, self._segment(photo, category))
            except GarmentNotFoundError as error:
                gr.Warning(f"{error} Choose another category, or paint over the garment.")
                return to_editor(photo, None)

    def write_caption(self, path: str | None, category: str) -> str:
        if path is None:
            return ""
        with told_in_one_sentence():
            return self.models.caption(self._open(path), category)

    def make(
        self,
        visitor: gr.Request,
        path: str | None,
        editor: dict[str, Any] | None,
        category: str,
        caption: str,
        history: list[tuple[Image.Image, str]],
        *advanced: Any,
    ) -> Iterator[tuple[Any, ...]]:
        """Yields the outputs of `_shown_results` while the picture emerges and when it is there."""
        with told_in_one_sentence():
            settings = self._settings(*advanced)
            mask = self._doubted(from_editor(editor))
            request = Request(self._photo(path), mask, caption, f"{Path(path).stem}_{category}")
            run, folder = self.visits.start(visitor.session_hash)
            before = on_screen(fit_picture(request.photo, settings.width, settings.height))
            for step in run.follow(lambda: self._try_off(run, request, settings)):
                after = gr.skip() if step.preview is None else (before, on_screen(step.preview))
                yield status(step), after, *[gr.skip()] * 6
            if run.stopped.is_set():
                yield status(), None, *[gr.skip()] * 6
                return
            photo = fit_picture(request.photo, settings.width, settings.height)
            results = save_results(photo, run.result(), caption, folder, request.name)
            archive = zip_results(results, folder / f"{request.name}.zip")
            yield self._shown_results(results, archive, history)

    def _shown_results(
        self, results: list[Result], archive: Path, history: list[tuple[Image.Image, str]]
    ) -> tuple[Any, ...]:
        """Status, slider, choice among several pictures, results, white and transparent PNG, ZIP, history."""
        history = [*((result.product, result.caption) for result in results), *history][:HISTORY]
        several = gr.Gallery([result.product for result in results], visible=len(results) > 1)
        return (
            "",
            *self.choose(results, 0)[:1],
            several,
            results,
            *self.choose(results, 0)[1:],
            *(
                gr.DownloadButton(value=str(archive), interactive=True, visible=len(results) > 1),
                history,
            ),
        )

    def choose(self, results: list[Result], number: int) -> tuple[Any, ...]:
        """Slider, white and transparent PNG of one of several pictures."""
        result = results[number]
        return (
            (on_screen(result.photo), on_screen(result.product)),
            gr.DownloadButton(value=str(result.white), interactive=True),
            gr.DownloadButton(value=str(result.cutout), interactive=True),
        )

    def choose_clicked(self, results: list[Result], event: gr.SelectData) -> tuple[Any, ...]:
        return self.choose(results, event.index)

    def stop(self, visitor: gr.Request) -> str:
        """Ends this visitor's work after its current step."""
        self.visits.stop(visitor.session_hash)
        return ""

    def leave(self, visitor: gr.Request) -> None:
        """The visitor has closed the page."""
        self.visits.leave(visitor.session_hash)

    # --- several photos -----------------------------------------------------------------------------------------

    def make_many(
        self, visitor: gr.Request, paths: list[str] | None, category: str, *advanced: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Yields status, gallery, ZIP and what was left out."""
        with told_in_one_sentence():
            settings = self._settings(*advanced)
            if not paths:
                raise ValueError("there is no photo yet: drop some, or choose files.")
            if len(paths) > self.limits.photos:
                raise ValueError(f"these are {len(paths)} photos; at most {self.limits.photos} are taken at once.")
            run, folder = self.visits.start(visitor.session_hash)
            made: list[Result] = []
            failures: list[str] = []
            work = lambda: self._try_off_all(run, paths, category, settings, folder, made, failures)
            shown = 0
            for step in run.follow(work):
                news = len(made) > shown
                shown = len(made)
                gallery = [(one.product, one.caption) for one in made[:shown]] if news else gr.skip()
                yield status(step), gallery, gr.skip(), gr.skip()
            run.result()
            gallery = [(result.product, result.caption) for result in made]
            archive = str(zip_results(made, folder / "product_pictures.zip")) if made else None
            left_out = "\n".join(f"- {line}" for line in failures)
            yield "", gallery, gr.DownloadButton(value=archive, interactive=bool(made)), left_out

    def _try_off_all(
        self,
        run: Run,
        paths: list[str],
        category: str,
        settings: Settings,
        folder: Path,
        made: list[Result],
        failures: list[str],
    ) -> None:
        for number, (path, stem) in enumerate(zip(paths, unique_stems([Path(path) for path in paths]), strict=True)):
            where = f"photo {number + 1} of {len(paths)}"
            try:
                photo = self._open(path)
                found = self.models.categories_in(photo) if category == ALL else [category]
                for one in found:
                    if not run.tell(Step(number / len(paths), f"{where}: mask and caption")):
                        return
                    mask = self.models.segment(photo, one)[0]
                    request = Request(photo, mask, self.models.caption(photo, one), f"{stem}_{one}")
                    products = self._try_off(run, request, settings, f"{where}: ", number, len(paths))
                    if run.stopped.is_set():
                        return
                    fitted = fit_picture(photo, settings.width, settings.height)
                    made += save_results(fitted, products, request.caption, folder, request.name)
                if not found:
                    raise ValueError("no garment found.")
            except ValueError as error:
                failures.append(f"{html.escape(Path(path).name)}: {html.escape(explain(error), quote=False)}")

    # --- the same for programs ----------------------------------------------------------------------------------

    def api_segment(self, photo: str, category: str) -> Image.Image:
        """The mask of a garment in a photo: white on the garment, of the photo's size.

        Args: photo; category: upper_body, lower_body or dresses.
        """
        with told_in_one_sentence():
            return self._segment(self._photo(photo), category)

    def api_caption(self, photo: str, category: str) -> str:
        """One line on the shape of a garment in a photo."""
        with told_in_one_sentence():
            return self.models.caption(self._photo(photo), category)

    def api_try_off(
        self,
        visitor: gr.Request,
        photo: str,
        mask: str | None,
        category: str,
        caption: str,
        seed: float,
        steps: float,
        guidance: float,
        size: str,
        count: float,
    ) -> list[str]:
        """The product pictures of a garment in a photo: for each a PNG on white and a PNG with transparency.

        Without a mask the garment is segmented, with an empty caption it is described.
        """
        with told_in_one_sentence():
            settings = self._settings(seed, steps, guidance, size, count)
            name, photo = Path(photo).stem, self._photo(photo)
            if mask is not None:
                white = self._doubted(open_uploaded_mask(mask, photo, self.limits.megapixels))
            else:
                white = self._segment(photo, category)
            caption = caption.strip()
            request = Request(photo, white, caption or self.models.caption(photo, category), name)
            run, folder = self.visits.start(visitor.session_hash)
            for _ in run.follow(lambda: self._try_off(run, request, settings)):
                pass
            if run.stopped.is_set():
                raise ValueError("stopped.")
            results = save_results(photo, run.result(), request.caption, folder, request.name)
            return [str(file) for result in results for file in (result.white, result.cutout)]

    # --- shared -------------------------------------------------------------------------------------------------

    def _try_off(
        self, run: Run, request: Request, settings: Settings, where: str = "", done: int = 0, of: int = 1
    ) -> list[Image.Image]:
        def on_step(step: int, steps: int, preview: Image.Image | None) -> bool:
            return run.tell(Step((done + step / steps) / of, f"{where}step {step} of {steps}", preview))

        if not run.tell(Step(done / of, f"{where}reading the photo")):
            return []
        return self.models.try_off(request.photo, request.mask, request.caption, settings, on_step)

    def _settings(self, seed: float, steps: float, guidance: float, size: str, count: float) -> Settings:
        width, height = map(int, size.split("x"))
        settings = Settings(width, height, int(steps), float(guidance), int(seed), int(count))
        if not 0 <= settings.seed < 2**32:
            raise ValueError(f"the seed is {settings.seed}; give a whole number from 0 to {2**32 - 1}.")
        return settings

    def _photo(self, path: str | None) -> Image.Image:
        if path is None:
            raise ValueError("there is no photo yet: drop one, paste one, or click an example.")
        return self._open(path)

    def _open(self, path: str) -> Image.Image:
        return open_upload(path, self.limits.megapixels)

    def _doubted(self, mask: Image.Image) -> Image.Image:
        """The mask, with a warning to the visitor where it covers nearly everything."""
        if (doubt := mask_doubt(mask)) is not None:
            gr.Warning(doubt)
        return mask

    def _segment(self, photo: Image.Image, category: str) -> Image.Image:
        mask, told = self.models.segment(photo, category)
        for line in told:
            gr.Info(line)
        return mask

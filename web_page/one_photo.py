"""The tab for one photo: drop it, touch up mask and caption, see the product picture emerge, take it home."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from temu_vtoff.segmentation.categories import DATASET_CATEGORIES
from temu_vtoff.stages import Garment
from web_page.fields import Shown, afterwards, category_choices, photo_upload, pictures_field
from web_page.mask_editor import mask_editor
from web_page.messages import Mistake, errors_in_one_sentence, status
from web_page.photos import SHOWN_BY_BROWSERS, format_of, from_editor, on_screen, to_editor
from web_page.results import Result, file_name, zip_results
from web_page.studio import Studio, name_of

HISTORY = 24  # pictures of a visit that are remembered
ON_PAGE = {"api_visibility": "private", "show_progress": "minimal"}
AT_ONCE = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
ONE_AT_A_TIME = {"concurrency_limit": 1, "concurrency_id": "models"}


class OnePhoto:
    """
    Args:
        studio: Does the work.
        examples: Photos to click, in a folder that visitors may read.
    """

    def __init__(self, studio: Studio, examples: list[Path]) -> None:
        self.studio, self.examples = studio, examples
        self.results, self.history = gr.State([]), gr.State([])
        with gr.Row(equal_height=False):
            with gr.Column(elem_id="inputs"):
                self._build_photo()
                self._build_garment()
            with gr.Column(elem_id="outputs"):
                self._build_result()
                self._build_downloads()

    # --- layout -------------------------------------------------------------------------------------------------

    def _build_photo(self) -> None:
        gr.Markdown("### 1. Photo")
        self.photo = photo_upload(
            label="Photo", show_label=False, sources=["upload", "webcam", "clipboard"], height=260, elem_id="photo"
        )
        self.samples = gr.Dataset(
            components=[self.photo],
            samples=[[str(path)] for path in self.examples],
            type="index",
            label="Or an example",
            elem_id="examples",
        )

    def _build_garment(self) -> None:
        gr.Markdown("### 2. Garment")
        self.category = gr.Radio(
            category_choices(), value=DATASET_CATEGORIES[0], show_label=False, container=False, elem_id="category"
        )
        gr.Markdown("### 3. Its mask")
        self.mask = mask_editor(elem_id="mask")
        gr.Markdown("### 4. Its shape in words: correct them freely")
        self.caption = gr.Textbox(
            label="Caption", show_label=False, container=False, lines=2, max_lines=4, elem_id="caption"
        )

    def _build_result(self) -> None:
        gr.Markdown("### 5. Product picture")
        with gr.Row(elem_classes="side-by-side"):
            self.make = gr.Button("Try off", variant="primary", interactive=False, elem_id="make")
            self.stop = gr.Button("Stop", interactive=False, elem_id="stop")
        self.progress = gr.HTML(elem_id="progress", min_height=28)
        self.picture = gr.Image(
            label="Product picture",
            show_label=False,
            interactive=False,
            type="filepath",
            format="png",
            height=480,
            buttons=["fullscreen"],
            elem_id="product",
        )
        self.warning = gr.Markdown(visible=False, elem_id="warning")
        self.details = gr.Markdown(elem_id="details")
        self.several = pictures_field("Choose one", visible=False, allow_preview=False, elem_id="several")

    def _build_downloads(self) -> None:
        with gr.Row(elem_classes="side-by-side"):
            self.white = gr.DownloadButton("PNG on white", interactive=False, size="md", elem_id="white")
            self.cutout = gr.DownloadButton("PNG cut out", interactive=False, size="md", elem_id="cutout")
            self.panel = gr.DownloadButton("Panel", interactive=False, size="md", elem_id="panel")
            self.archive = gr.DownloadButton("All as ZIP", visible=False, size="md", elem_id="archive")
        with gr.Accordion("Before and after", open=False, elem_id="compare"):
            self.slider = gr.ImageSlider(
                label="Photo and product picture",
                show_label=False,
                interactive=False,
                type="filepath",
                format="png",
                buttons=["fullscreen"],
                max_height=720,
                elem_id="slider",
            )
        self.shown_history = pictures_field("This visit", visible=False, elem_id="history")

    def wire(self, advanced: list[gr.components.Component]) -> None:
        """Which event calls what; `advanced` are the fields of `Studio.settings`."""
        ready = ([self.photo], [self.make, self.stop, self.progress])
        self.samples.click(lambda number: str(self.examples[number]), self.samples, self.photo, **AT_ONCE)
        for trigger, look in ((self.photo.change, self.look), (self.category.input, self.look_again)):
            looking = trigger(self.wait, outputs=[self.mask, self.caption, self.make], **AT_ONCE).then(
                look,
                [self.photo, self.category],
                [self.photo, self.category, self.mask, self.caption],
                **ON_PAGE,
                **ONE_AT_A_TIME,
                show_progress_on=self.progress,
            )
            afterwards(looking, self.settle, *ready, **AT_ONCE)
        making = self.make.click(self.begin, outputs=[self.make, self.stop], **AT_ONCE).then(
            self.try_off,
            [self.photo, self.mask, self.category, self.caption, self.results, self.history, *advanced],
            self._outputs(),
            **ON_PAGE,
            **ONE_AT_A_TIME,
            show_progress_on=self.progress,
        )
        afterwards(making, self.settle, *ready, **AT_ONCE)
        self.several.select(self.choose_clicked, self.results, self._chosen(), **ON_PAGE)
        self.stop.click(self.stop_work, cancels=[making], **AT_ONCE).then(
            self.show_last,
            [self.photo, self.results],
            [self.make, self.stop, self.progress, self.picture],
            **AT_ONCE,
        )

    def _chosen(self) -> list[gr.components.Component]:
        return [self.picture, self.slider, self.white, self.cutout, self.panel]

    def _outputs(self) -> list[gr.components.Component]:
        more = [self.progress, self.warning, self.details, self.several, self.archive]
        return [*self._chosen(), *more, self.results, self.history, self.shown_history]

    # --- a photo and its mask -----------------------------------------------------------------------------------

    def wait(self) -> Shown:
        """Before a photo is looked at: nothing of the one before stays."""
        return {self.mask: None, self.caption: "", self.make: gr.Button(interactive=False)}

    def settle(self, path: str | None) -> Shown:
        """After any work, whether it went well or not: what can be pressed."""
        can = path is not None
        return {self.make: gr.Button(interactive=can), self.stop: gr.Button(interactive=False), self.progress: ""}

    def look(self, visitor: gr.Request, path: str | None, category: str) -> Iterator[Shown]:
        """A new photo: a garment that it shows, the chosen one if possible, then its mask, then its caption."""
        if path is None:
            yield {self.mask: None}
            return
        with errors_in_one_sentence():
            if format_of(Path(path), self.studio.limits.megapixels) not in SHOWN_BY_BROWSERS:
                yield {self.photo: self._converted(visitor, path)}  # which changes the photo: this is called again
                return
            found = self.studio.categories_in(self.studio.open(path))
        if found and category not in found:
            category = found[0]
            yield {self.category: category}
        yield from self.look_again(path, category)

    def look_again(self, path: str | None, category: str) -> Iterator[Shown]:
        """The mask of another garment of the same photo, then its caption."""
        if path is None:
            yield {self.mask: None}
            return
        with errors_in_one_sentence():
            photo = self.studio.open(path)
            try:
                mask = self.studio.segment(photo, category)
            except Mistake as error:
                gr.Warning(f"{error} Choose another garment, or paint over it.")
                mask = None
            yield {self.mask: to_editor(photo, mask, name_of(path))}
            yield {self.caption: self.studio.describe(photo, category)}

    def _converted(self, visitor: gr.Request, path: str) -> str:
        folder = self.studio.visits.start(visitor.session_hash).folder
        file = folder / f"{file_name(path)}.png"
        self.studio.open(path).save(file, compress_level=1)
        return str(file)

    # --- the product picture ------------------------------------------------------------------------------------

    def begin(self) -> Shown:
        return {self.make: gr.Button(interactive=False), self.stop: gr.Button(interactive=True)}

    def try_off(
        self,
        visitor: gr.Request,
        path: str | None,
        editor: dict[str, Any] | None,
        category: str,
        caption: str,
        results: list[Result],
        history: list[tuple[str, str]],
        *advanced: Any,
    ) -> Iterator[Shown]:
        """The picture while it emerges, and its files when it is there."""
        with errors_in_one_sentence():
            settings = self.studio.settings(*advanced)
            photo = self.studio.open(path)
            mask = from_editor(editor, photo, name_of(path))
            self.studio.warn_of_long(caption)
            self.studio.warn_of_large(mask)
            garment = Garment(photo, category, name=f"{file_name(path)}_{category}", mask=mask, caption=caption)
            run = self.studio.visits.start(visitor.session_hash)
            shown: list[Path] = []
            with closing(self.studio.follow(run, garment, settings)) as steps:
                for step in steps:
                    preview = {} if step.preview is None else {self.picture: _preview(step.preview, run.folder, shown)}
                    yield {self.progress: status(step), **preview}
            made = run.result()
            if run.stopped.is_set():
                yield {self.progress: "", self.picture: _first(results)}
                return
            yield self._shown(made, run.folder / f"{garment.name}.zip", history) | {
                self.details: f"Seed {settings.seed}, {settings.steps} steps, {settings.width}x{settings.height}",
                self.warning: gr.Markdown(self.studio.warning(photo), visible=bool(self.studio.warning(photo))),
            }
            for file in shown:
                file.unlink(missing_ok=True)

    def _shown(self, results: list[Result], archive: Path, history: list[tuple[str, str]]) -> Shown:
        history = [*((str(result.white), result.caption) for result in results), *history][:HISTORY]
        many = len(results) > 1
        zipped = str(zip_results(results, archive)) if many else None
        return self.choose(results, 0) | {
            self.progress: "",
            self.several: gr.Gallery([str(result.white) for result in results], visible=many),
            self.archive: gr.DownloadButton(value=zipped, visible=many),
            self.results: results,
            self.history: history,
            self.shown_history: gr.Gallery(history, visible=True),
        }

    def choose(self, results: list[Result], number: int) -> Shown:
        """One of several pictures and its files."""
        result = results[number]
        return {
            self.picture: str(result.white),
            self.slider: (str(result.before), str(result.white)),
            self.white: gr.DownloadButton(value=str(result.white), interactive=True),
            self.cutout: gr.DownloadButton(value=str(result.cutout), interactive=True),
            self.panel: gr.DownloadButton(value=str(result.panel), interactive=True),
        }

    def choose_clicked(self, results: list[Result], event: gr.SelectData) -> Shown:
        return self.choose(results, event.index)

    def stop_work(self, visitor: gr.Request) -> None:
        """Ends the visitor's work after its current step."""
        self.studio.visits.stop(visitor.session_hash)

    def show_last(self, path: str | None, results: list[Result]) -> Shown:
        """After a stop: the last finished picture, which the download buttons still give."""
        return self.settle(path) | {self.picture: _first(results)}


def _preview(picture: Image.Image, folder: Path, shown: list[Path]) -> str:
    file = folder / f"preview_{len(shown)}.jpg"
    on_screen(picture).save(file, quality=90)
    shown.append(file)
    return str(file)


def _first(results: list[Result]) -> str | None:
    return str(results[0].white) if results else None

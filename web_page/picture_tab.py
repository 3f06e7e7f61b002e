"""What tabs that make one picture share: the column of the result with its buttons, files and history, and the work."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr
from PIL import Image

from web_page.fields import Shown, pictures_field, said, sentences_field
from web_page.messages import status
from web_page.photos import SHOWN_BY_BROWSERS, format_of, on_screen
from web_page.results import Result, file_name, zip_results
from web_page.run import Run
from web_page.studio import Studio
from web_page.work_tab import AT_ONCE, ON_PAGE, ONE_AT_A_TIME, WorkTab

HISTORY = 24  # pictures of a visit that are remembered


class PictureTab(WorkTab):
    """
    Args:
        studio: Does the work.

    Attributes:
        PREFIX: Of the elements' ids, so that each is on the page once.
        FILES: What can be downloaded: attributes of `Result` and the buttons' words.
    """

    PREFIX: ClassVar[str] = ""
    FILES: ClassVar[dict[str, str]] = {}

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio)
        self.results, self.history, self.chosen = gr.State([]), gr.State([]), gr.State(0)

    # --- layout -------------------------------------------------------------------------------------------------

    def build_outputs(self, title: str, verb: str) -> None:
        """The column of the result; `verb` stands on the button that makes it."""
        gr.Markdown(f"### {title}")
        self.build_buttons(verb, self.id("make"), self.id("stop"))
        self.progress = gr.HTML(elem_id=self.id("progress"), min_height=28)
        self.picture = gr.Image(
            label=title,
            show_label=False,
            interactive=False,
            type="filepath",
            format="png",
            height=480,
            buttons=["fullscreen"],
            elem_id=self.id("product"),
        )
        self.warning = sentences_field(self.id("warning"))
        self.details = gr.Markdown(elem_id=self.id("details"))
        self.several = pictures_field("Choose one", visible=False, allow_preview=False, elem_id=self.id("several"))
        self.build_finishing()
        with gr.Row(elem_classes="side-by-side"):
            self.downloads = {
                name: gr.DownloadButton(label, interactive=False, size="md", elem_id=self.id(name))
                for name, label in self.FILES.items()
            }
            self.archive = gr.DownloadButton("All as ZIP", visible=False, size="md", elem_id=self.id("archive"))
        self._build_comparison()

    def build_finishing(self) -> None:
        """Fields above the download buttons; by default there are none."""

    def _build_comparison(self) -> None:
        with gr.Accordion("Before and after", open=False, elem_id=self.id("compare")):
            self.slider = gr.ImageSlider(
                label="Photo and picture",
                show_label=False,
                interactive=False,
                type="filepath",
                format="png",
                buttons=["fullscreen"],
                max_height=720,
                elem_id=self.id("slider"),
            )
        self.shown_history = pictures_field("This visit", visible=False, elem_id=self.id("history"))

    def id(self, name: str) -> str:
        return self.PREFIX + name

    def wire_making(self, work: Callable[..., Iterator[Shown]], inputs: list[Any], needed: list[Any]) -> None:
        """Which event calls what around the work.

        Args:
            inputs: Of `work`, beside the results and history, which come before the last ones named here.
            needed: Argument of `settled`.
        """
        making = self.make.click(self.begin, outputs=[self.make, self.stop], **AT_ONCE).then(
            work, inputs, self._outputs(), **ON_PAGE, **ONE_AT_A_TIME, show_progress_on=self.progress
        )
        self.settled(making, needed)
        self.several.select(self.choose_clicked, self.results, self.of_chosen(), **ON_PAGE)
        self.stop.click(self.stop_work, cancels=[making], **AT_ONCE).then(
            self.show_last, [self.results, *needed], [self.make, self.stop, self.progress, self.picture], **AT_ONCE
        )

    def of_chosen(self) -> list[gr.components.Component]:
        """What shows the chosen picture."""
        return [self.picture, self.slider, self.details, self.warning, *self.downloads.values(), self.chosen]

    def of_all(self) -> list[gr.components.Component]:
        """What shows all pictures of the last work."""
        return [*self.of_chosen(), self.several, self.archive, self.results]

    def _outputs(self) -> list[gr.components.Component]:
        return [*self.of_all(), self.progress, self.history, self.shown_history]

    # --- events -------------------------------------------------------------------------------------------------

    def follow(
        self,
        run: Run,
        work: Callable[[], list[Result]],
        name: str,
        results: list[Result],
        history: list[tuple[str, str]],
    ) -> Iterator[Shown]:
        """The picture while it emerges, and its files when it is there.

        Args:
            work: Makes the results and their files; done in a thread.
            name: Of the ZIP file.
            results: Of the work before, shown again when this is stopped.
        """
        shown: list[Path] = []
        with closing(run.follow(work)) as steps:
            for step in steps:
                preview = {} if step.preview is None else {self.picture: _preview(step.preview, run.folder, shown)}
                yield {self.progress: status(step), **preview}
        made = run.result()
        if run.stopped.is_set():
            yield {self.progress: "", self.picture: _first(results)}
            return
        history = [*((str(result.picture), result.caption) for result in made), *history][:HISTORY]
        yield self.show(made, run.folder / f"{name}.zip") | {
            self.progress: "",
            self.history: history,
            self.shown_history: gr.Gallery(history, visible=True),
        }
        for file in shown:
            file.unlink(missing_ok=True)

    def show(self, results: list[Result], archive: Path, number: int = 0) -> Shown:
        """The results, one of them large.

        Args:
            archive: Where their ZIP file is written.
        """
        many = len(results) > 1
        zipped = str(zip_results(results, archive)) if many else None
        return self.choose(results, number) | {
            self.several: gr.Gallery([str(result.finished) for result in results], visible=many),
            self.archive: gr.DownloadButton(value=zipped, visible=many),
            self.results: results,
        }

    def choose(self, results: list[Result], number: int) -> Shown:
        """One of several pictures, what is to be said about it, and its files."""
        result = results[number]
        files = {
            button: gr.DownloadButton(value=str(getattr(result, name)), interactive=True)
            for name, button in self.downloads.items()
        }
        return {
            self.picture: str(result.finished),
            self.slider: (str(result.before), str(result.picture)),
            self.details: result.details,
            self.warning: said(result.warnings),
            self.chosen: number,
            **files,
        }

    def choose_clicked(self, results: list[Result], event: gr.SelectData) -> Shown:
        return self.choose(results, event.index)

    def show_last(self, results: list[Result], *needed: str | None) -> Shown:
        """After a stop: the last finished picture, which the download buttons still give."""
        return self.settle(*needed) | {self.picture: _first(results)}

    def converted(self, visitor: gr.Request, path: str) -> str | None:
        """A file that browsers show, of a photo that they don't; None where they show it.

        Raises:
            Mistake: It is no photo.
        """
        if format_of(Path(path), self.studio.limits.megapixels) in SHOWN_BY_BROWSERS:
            return None
        folder = self.studio.visits.start(visitor.session_hash).folder
        file = folder / f"{file_name(path)}.png"
        self.studio.open(path).save(file, compress_level=1)
        return str(file)


def _preview(picture: Image.Image, folder: Path, shown: list[Path]) -> str:
    file = folder / f"preview_{len(shown)}.jpg"
    on_screen(picture).save(file, quality=90)
    shown.append(file)
    return str(file)


def _first(results: list[Result]) -> str | None:
    return str(results[0].finished) if results else None

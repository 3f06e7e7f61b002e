"""The tab for several photos: each garment found in each of them, in a gallery and a ZIP."""

import html
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from temu_vtoff.pictures import unique_stems
from temu_vtoff.stages import Garment
from web_page.fields import Shown, category_choices, pictures_field
from web_page.finishing import FinishFields
from web_page.messages import FAULT, Mistake, errors_in_one_sentence, explain, logger, status
from web_page.models import Settings
from web_page.results import Result, file_name, zip_results
from web_page.run import Part, Run
from web_page.studio import ALL, Studio
from web_page.work_tab import AT_ONCE, ON_PAGE, ONE_AT_A_TIME, WorkTab


class SeveralPhotos(WorkTab):
    """
    Args:
        studio: Does the work.
    """

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio)
        with gr.Row(equal_height=False):
            with gr.Column():
                self._build_inputs()
            with gr.Column():
                self._build_outputs()

    def _build_inputs(self) -> None:
        self.photos = gr.File(
            label=f"Photos, up to {self.studio.limits.photos}",
            file_count="multiple",
            file_types=["image"],
            elem_id="photos",
        )
        self.category = gr.Radio(
            [*category_choices(self.studio.models.categories), ("Every garment", ALL)],
            value=ALL,
            label="Garment",
            elem_id="many_category",
        )
        self.finishing = FinishFields("many_")
        self.build_buttons("Try off", "make_many", "stop_many")

    def _build_outputs(self) -> None:
        self.progress = gr.HTML(elem_id="many_progress", min_height=28)
        self.gallery = pictures_field("Product pictures", elem_id="gallery")
        self.archive = gr.DownloadButton("All as ZIP", interactive=False, elem_id="zip")
        self.notes = gr.Markdown(elem_id="notes")

    def wire(self, advanced: list[gr.components.Component]) -> None:
        """Which event calls what; `advanced` are the fields of `Studio.settings`."""
        ready = ([self.photos], [self.make, self.stop, self.progress])
        self.photos.change(self.settle, *ready, **AT_ONCE)
        self.finishing.wire()
        making = self.make.click(self.begin, outputs=[self.make, self.stop], **AT_ONCE).then(
            self.try_off,
            [self.photos, self.category, *self.finishing.fields, *advanced],
            [self.progress, self.gallery, self.archive, self.notes],
            **ON_PAGE,
            **ONE_AT_A_TIME,
            show_progress_on=self.progress,
        )
        self.settled(making, [self.photos])
        self.stop.click(self.stop_work, cancels=[making], **AT_ONCE).then(self.settle, *ready, **AT_ONCE)

    def try_off(self, visitor: gr.Request, paths: list[str] | None, category: str, *how: Any) -> Iterator[Shown]:
        """The gallery while it fills; the ZIP and what is to be said of single photos at the end.

        Args:
            how: Arguments of `Studio.settings_of_page`.
        """
        with errors_in_one_sentence():
            settings = self.studio.settings_of_page(*how)
            if not paths:
                raise Mistake("there is no photo yet: drop some, or choose files.")
            if len(paths) > self.studio.limits.photos:
                raise Mistake(f"these are {len(paths)} photos; at most {self.studio.limits.photos} are taken at once.")
            run = self.studio.visits.start(visitor.session_hash)
            made: list[Result] = []
            notes: list[str] = []
            shown = 0
            with closing(
                run.follow(
                    lambda: self._try_off_all(run, paths, category=category, settings=settings, made=made, notes=notes)
                )
            ) as steps:
                for step in steps:
                    new = {self.gallery: _gallery(made)} if len(made) > shown else {}
                    shown = len(made)
                    yield {self.progress: status(step), **new}
            run.result()
            archive = str(zip_results(made, run.folder / "product_pictures.zip")) if made else None
            yield {
                self.progress: "",
                self.gallery: _gallery(made),
                self.archive: gr.DownloadButton(value=archive, interactive=bool(made)),
                self.notes: "\n".join(f"- {line}" for line in notes),
            }

    def _try_off_all(
        self, run: Run, paths: list[str], category: str, settings: Settings, made: list[Result], notes: list[str]
    ) -> None:
        stems = unique_stems([Path(file_name(path)) for path in paths])
        for number, (path, stem) in enumerate(zip(paths, stems, strict=True)):
            part = Part(f"photo {number + 1} of {len(paths)}: ", number, len(paths))
            said: list[str] = []
            try:
                self._try_off_one(
                    run, path, stem=stem, category=category, settings=settings, part=part, made=made, said=said
                )
            except Exception as error:
                said.append(explain(error) or FAULT)
                if said[-1] == FAULT:
                    logger.exception("The page failed at a photo.")
            if run.stopped.is_set():
                return
            if said:
                words = " ".join(dict.fromkeys(said))
                notes.append(f"{html.escape(Path(path).name)}: {html.escape(words, quote=False)}")

    def _try_off_one(
        self,
        run: Run,
        path: str,
        stem: str,
        category: str,
        settings: Settings,
        part: Part,
        made: list[Result],
        said: list[str],
    ) -> None:
        """Adds to `made`, and to `said` what is to be said of the photo and its pictures."""
        photo = self.studio.open(path)
        if not part.begins(run, "mask and caption"):
            return
        garments = self.studio.garments_in(photo) if category == ALL else [self.studio.segment(photo, category)]
        if not garments:
            raise Mistake("no garment was found.")
        for found in garments:
            said += found.remarks
            if not part.begins(run, "mask and caption"):
                return
            caption = self.studio.describe(photo, found.category)
            name = f"{stem}_{found.category}"
            garment = Garment(photo, found.category, name=name, mask=found.mask, caption=caption)
            results = self.studio.try_off(run, garment, settings, part)
            for result in results:
                said += result.warnings
            made += results


def _gallery(results: list[Result]) -> list[tuple[str, str]]:
    return [(str(result.finished), result.caption) for result in results]

"""The tab for one photo: drop it, touch up mask and caption, see the product picture emerge, take it home."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr

from temu_vtoff.stages import Garment
from web_page.fields import (
    Shown,
    afterwards,
    category_choices,
    example_photos,
    person_field,
    photo_upload,
    said,
    sentences_field,
    several_people,
)
from web_page.finishing import FinishFields, wanted
from web_page.mask_editor import mask_editor
from web_page.messages import Mistake, errors_in_one_sentence
from web_page.photos import from_editor, to_editor
from web_page.picture_tab import AT_ONCE, ON_PAGE, ONE_AT_A_TIME, PictureTab
from web_page.results import Result, file_name, finish_results
from web_page.studio import Studio, name_of


class OnePhoto(PictureTab):
    """
    Args:
        studio: Does the work.
        examples: Photos to click, in a folder that visitors may read.
    """

    FILES: ClassVar[dict[str, str]] = {"finished": "Picture", "cutout": "Cut out", "panel": "Panel"}

    def __init__(self, studio: Studio, examples: list[Path]) -> None:
        super().__init__(studio)
        self.examples = examples
        with gr.Row(equal_height=False):
            with gr.Column(elem_id="inputs"):
                self._build_inputs()
            with gr.Column(elem_id="outputs"):
                self.build_outputs("5. Product picture", "Try off")

    def _build_inputs(self) -> None:
        gr.Markdown("### 1. Photo")
        self.photo = photo_upload(label="Photo", elem_id="photo")
        self.samples = example_photos(self.photo, self.examples, elem_id="examples")
        gr.Markdown("### 2. Garment")
        categories = self.studio.models.categories
        self.category = gr.Radio(
            category_choices(categories),
            value=categories[0],
            show_label=False,
            container=False,
            elem_id="category",
        )
        self.person = person_field(elem_id="whose")
        gr.Markdown("### 3. Its mask")
        self.mask = mask_editor(
            elem_id="mask", empty="The photo and the mask of the garment appear here.", change="Change the mask"
        )
        self.remarks = sentences_field("remarks")
        gr.Markdown("### 4. Its shape in words: correct them freely")
        self.caption = gr.Textbox(
            label="Caption", show_label=False, container=False, lines=2, max_lines=4, elem_id="caption"
        )

    def build_finishing(self) -> None:
        self.finishing = FinishFields()

    def wire(self, advanced: list[gr.components.Component]) -> None:
        """Which event calls what; `advanced` are the fields of `Studio.settings`."""
        self.samples.click(lambda number: str(self.examples[number]), self.samples, self.photo, **AT_ONCE)
        found = [self.category, self.person, self.mask, self.remarks, self.caption]
        for trigger, look in (
            (self.photo.change, self.look),
            (self.category.input, self.look_again),
            (self.person.input, self.look_at_person),
        ):
            looking = trigger(self.wait, outputs=[self.mask, self.remarks, self.caption, self.make], **AT_ONCE).then(
                look,
                [self.photo, self.category, self.person],
                [self.photo, *found],
                **ON_PAGE,
                **ONE_AT_A_TIME,
                show_progress_on=self.progress,
            )
            afterwards(looking, self.settle, [self.photo], [self.make, self.stop, self.progress], **AT_ONCE)
        inputs = [self.photo, self.mask, self.category, self.caption, self.results, self.history]
        self.wire_making(self.try_off, [*inputs, *self.finishing.fields, *advanced], [self.photo])
        self.finishing.wire()
        gr.on(
            [field.input for field in self.finishing.fields],
            self.finish_again,
            [self.results, self.chosen, *self.finishing.fields],
            self.of_all(),
            **ON_PAGE,
            trigger_mode="always_last",
        )

    # --- a photo and its mask -----------------------------------------------------------------------------------

    def wait(self) -> Shown:
        """Before a photo is looked at: nothing of the one before stays."""
        return {
            self.mask: None,
            self.remarks: said([]),
            self.caption: "",
            self.make: gr.Button(interactive=False),
        }

    def look(self, visitor: gr.Request, path: str | None, category: str, person: int | None = None) -> Iterator[Shown]:
        """A new photo: a garment of its largest person, the chosen one if possible, then mask and caption.

        Args:
            person: Of the photo before.
        """
        if path is None:
            yield {self.mask: None}
            return
        with errors_in_one_sentence():
            converted = self.converted(visitor, path)
            if converted is not None:
                yield {self.photo: converted}  # which changes the photo: this is called again
                return
        yield {self.person: gr.Radio([], value=None, visible=False)}
        yield from self.look_at_person(path, category, None)

    def look_at_person(self, path: str | None, category: str, person: int | None) -> Iterator[Shown]:
        """A garment of a person, the chosen one if possible, then its mask, then its caption."""
        if path is None:
            yield {self.mask: None}
            return
        with errors_in_one_sentence():
            found = [one.category for one in self.studio.garments_in(self.studio.open(path), person)]
        if found and category not in found:
            category = found[0]
            yield {self.category: category}
        yield from self.look_again(path, category, person)

    def look_again(self, path: str | None, category: str, person: int | None = None) -> Iterator[Shown]:
        """The mask of another garment of the same photo, then its caption."""
        if path is None:
            yield {self.mask: None}
            return
        with errors_in_one_sentence():
            photo = self.studio.open(path)
            try:
                found = self.studio.segment(photo, category, person)
            except Mistake as error:
                gr.Warning(f"{error} Choose another garment, or paint over it.")
                yield {self.mask: to_editor(photo, None, name_of(path))}
            else:
                yield {
                    self.mask: to_editor(photo, found.mask, name_of(path)),
                    self.person: several_people(found),
                    self.remarks: said(found.remarks),
                }
            yield {self.caption: self.studio.describe(photo, category)}

    # --- the product picture ------------------------------------------------------------------------------------

    def try_off(
        self,
        visitor: gr.Request,
        path: str | None,
        editor: dict[str, Any] | None,
        category: str,
        caption: str,
        results: list[Result],
        history: list[tuple[str, str]],
        *how: Any,
    ) -> Iterator[Shown]:
        """The picture while it emerges, and its files when it is there.

        Args:
            how: The fields of the finishing, then those of `Studio.settings`.
        """
        with errors_in_one_sentence():
            settings = self.studio.settings_of_page(*how)
            photo = self.studio.open(path)
            mask = from_editor(editor, photo, name_of(path))
            self.studio.warn_of_long(caption)
            self.studio.warn_of_large(mask)
            garment = Garment(photo, category, name=f"{file_name(path)}_{category}", mask=mask, caption=caption)
            run = self.studio.visits.start(visitor.session_hash)
            yield from self.follow(
                run,
                lambda: self.studio.try_off(run, garment, settings),
                name=garment.name,
                results=results,
                history=history,
            )

    def finish_again(self, visitor: gr.Request, results: list[Result], chosen: int, *finishing: Any) -> Shown:
        """The same pictures with another background, margin or format."""
        with errors_in_one_sentence():
            finish = wanted(*finishing)
            if not results or results[0].finish == finish:
                return {}
            folder = self.studio.visits.start(visitor.session_hash).folder
            return self.show(finish_results(results, finish, folder), folder / "product_pictures.zip", chosen)

"""The tab for one photo: drop it, touch up mask and caption, see the product picture emerge, take it home."""

from collections.abc import Iterator
from typing import Any, ClassVar

import gradio as gr
from PIL import Image

from temu_vtoff.stages import Garment
from web_page.fields import (
    Shown,
    example_photos,
    person_field,
    photo_upload,
    sentences_field,
)
from web_page.finishing import FinishFields, wanted
from web_page.found import Found
from web_page.mask_editor import mask_editor
from web_page.messages import errors_in_one_sentence
from web_page.photo_tab import PhotoTab
from web_page.photos import from_editor
from web_page.results import Result, file_name, finish_results
from web_page.studio import name_of
from web_page.work_tab import AT_ONCE, ON_PAGE


class OnePhoto(PhotoTab):
    """See `PhotoTab`."""

    FILES: ClassVar[dict[str, str]] = {"finished": "Picture", "cutout": "Cut out", "panel": "Panel"}
    OTHERWISE: ClassVar[str] = "Choose another garment, or paint over it."

    def build_inputs(self) -> None:
        gr.Markdown("### 1. Photo")
        self.photo = photo_upload(label="Photo", elem_id="photo")
        self.samples = example_photos(self.photo, self.examples, elem_id="examples")
        gr.Markdown("### 2. Garment")
        self.category = self.build_categories(self.studio.models.categories)
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

    def build_results(self) -> None:
        self.build_outputs("5. Product picture", "Try off")

    def build_finishing(self) -> None:
        self.finishing = FinishFields()

    def wire(self, advanced: list[gr.components.Component]) -> None:
        """Which event calls what; `advanced` are the fields of `Studio.settings`."""
        self.samples.click(lambda number: str(self.examples[number]), self.samples, self.photo, **AT_ONCE)
        self.wire_looking([self.photo], self.caption)
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
        return super().wait() | {self.caption: ""}

    def look_at_person(self, path: str | None, category: str, person: int | None) -> Iterator[Shown]:
        """A garment of a person, the chosen one if possible, then its mask, then its caption."""
        if path is not None:
            with errors_in_one_sentence():
                found = [one.category for one in self.studio.garments_in(self.studio.open(path), person)]
            if found and category not in found:
                category = found[0]
                yield {self.category: category}
        yield from self.look_again(path, category, person)

    def find(self, photo: Image.Image, category: str, person: int | None) -> Found:
        return self.studio.segment(photo, category, person)

    def further(self, photo: Image.Image, category: str) -> Shown:
        return {self.caption: self.studio.describe(photo, category)}

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

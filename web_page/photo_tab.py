"""What tabs of one photo share: a person in it, a garment, and a mask that is found and can be changed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr
from PIL import Image

from web_page.fields import Shown, category_choices, said, several_people
from web_page.found import Found
from web_page.messages import Mistake, errors_in_one_sentence
from web_page.photos import to_editor
from web_page.picture_tab import PictureTab
from web_page.studio import Studio, name_of
from web_page.work_tab import AT_ONCE, ON_PAGE, ONE_AT_A_TIME


class PhotoTab(PictureTab, ABC):
    """Each tab builds the fields `photo`, `category`, `person`, `mask` and `remarks`.

    Args:
        studio: Does the work.
        examples: Photos to click, in a folder that visitors may read.

    Attributes:
        OTHERWISE: What a visitor can do where no mask is found.
    """

    OTHERWISE: ClassVar[str] = ""

    def __init__(self, studio: Studio, examples: list[Path]) -> None:
        super().__init__(studio)
        self.examples = examples
        with gr.Row(equal_height=False):
            with gr.Column(elem_id=self.id("inputs")):
                self.build_inputs()
            with gr.Column(elem_id=self.id("outputs")):
                self.build_results()

    @abstractmethod
    def build_inputs(self) -> None:
        """The column of the photo."""

    @abstractmethod
    def build_results(self) -> None:
        """The column of the result."""

    @abstractmethod
    def find(self, photo: Image.Image, category: str, person: int | None) -> Found:
        """The mask of a photo.

        Raises:
            Mistake: There is none.
        """

    def further(self, photo: Image.Image, category: str) -> Shown:
        """What is shown after the mask."""
        return {}

    def build_categories(self, categories: Sequence[str]) -> gr.Radio:
        """A choice of garments."""
        return gr.Radio(
            category_choices(categories),
            value=categories[0],
            show_label=False,
            container=False,
            elem_id=self.id("category"),
        )

    def wire_looking(self, needed: list[Any], *further: gr.components.Component) -> None:
        """Which event looks for the mask.

        Args:
            needed: Argument of `settled`.
            further: Fields that `further` fills.
        """
        found = [self.mask, self.remarks, *further]
        for trigger, look in (
            (self.photo.change, self.look),
            (self.category.input, self.look_again),
            (self.person.input, self.look_at_person),
        ):
            looking = trigger(self.wait, outputs=[*found, self.make], **AT_ONCE).then(
                look,
                [self.photo, self.category, self.person],
                [self.photo, self.category, self.person, *found],
                **ON_PAGE,
                **ONE_AT_A_TIME,
                show_progress_on=self.progress,
            )
            self.settled(looking, needed)

    def wait(self) -> Shown:
        """Before a photo is looked at: nothing of the one before stays."""
        return {self.mask: None, self.remarks: said([]), self.make: gr.Button(interactive=False)}

    def look(self, visitor: gr.Request, path: str | None, category: str, person: int | None = None) -> Iterator[Shown]:
        """A new photo: the mask of its largest person.

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
        """The mask of another person of the same photo."""
        yield from self.look_again(path, category, person)

    def look_again(self, path: str | None, category: str, person: int | None = None) -> Iterator[Shown]:
        """The mask of another garment of the same person."""
        if path is None:
            yield {self.mask: None}
            return
        with errors_in_one_sentence():
            photo = self.studio.open(path)
            try:
                found = self.find(photo, category, person)
            except Mistake as error:
                gr.Warning(f"{error} {self.OTHERWISE}")
                yield {self.mask: to_editor(photo, None, name_of(path))}
            else:
                yield {
                    self.mask: to_editor(photo, found.mask, name_of(path)),
                    self.person: several_people(found),
                    self.remarks: said(found.remarks),
                }
            if further := self.further(photo, category):
                yield further

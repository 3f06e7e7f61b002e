"""The tab for try-on: a person, a garment or somebody who wears it, the region to repaint, and the person in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr

from temu_vtoff.hub.sources import PUBLISHED_TRYON
from temu_vtoff.segmentation.categories import DATASET_CATEGORIES
from temu_vtoff.stages import Options
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
from web_page.mask_editor import mask_editor
from web_page.messages import LABELS, Mistake, errors_in_one_sentence
from web_page.outfits import Outfits
from web_page.photos import from_editor, to_editor
from web_page.picture_tab import AT_ONCE, ON_PAGE, ONE_AT_A_TIME, PictureTab
from web_page.results import Result
from web_page.studio import Studio, name_of

WORN = "worn"
KINDS = [("A picture of it alone", "alone"), ("Somebody wears it", WORN)]
NEEDED = (
    "Putting garments on people needs a try-on model, and this page runs without one. Whoever runs it can start it "
    f"with one, for example {PUBLISHED_TRYON}."
)


class TryOnTab(PictureTab):
    """
    Args:
        studio: Does the work; its models have a fitting room.
        examples: Photos to click, in a folder that visitors may read.
    """

    PREFIX: ClassVar[str] = "on_"
    FILES: ClassVar[dict[str, str]] = {"picture": "PNG", "panel": "Panel"}

    def __init__(self, studio: Studio, examples: list[Path]) -> None:
        super().__init__(studio)
        self.outfits, self.examples = Outfits(studio), examples
        with gr.Row(equal_height=False):
            with gr.Column(elem_id="on_inputs"):
                self._build_inputs()
            with gr.Column(elem_id="on_outputs"):
                self.build_outputs("4. The person in the garment", "Try on")
                self._build_sampling()

    def _build_inputs(self) -> None:
        gr.Markdown("### 1. Person")
        self.person = photo_upload(label="Person", elem_id="person")
        self.persons = example_photos(self.person, self.examples, elem_id="persons")
        self.whose = person_field(elem_id="on_whose")
        gr.Markdown("### 2. Garment")
        self.category = gr.Radio(
            category_choices(DATASET_CATEGORIES),
            value=DATASET_CATEGORIES[0],
            show_label=False,
            container=False,
            elem_id="on_category",
        )
        self.kind = gr.Radio(KINDS, value=KINDS[0][1], show_label=False, container=False, elem_id="kind")
        self.garment = photo_upload(label="Garment", elem_id="garment")
        self.wearers = example_photos(self.garment, self.examples, elem_id="wearers")
        gr.Markdown("### 3. What is repainted")
        self.region = mask_editor(
            elem_id="region",
            empty="The person and the region that is repainted appear here.",
            change="Change the region",
        )
        self.remarks = sentences_field("on_remarks")

    def _build_sampling(self) -> None:
        """The fields of `Studio.sampling`, in its order."""
        room, limits = self.studio.models.fitting_room, self.studio.limits
        with gr.Accordion("Advanced", open=False, elem_id="on_advanced"):
            seed = gr.Number(
                0, label=LABELS["seed"], precision=0, minimum=0, info="blank: a random one", elem_id="on_seed"
            )
            steps = gr.Slider(1, limits.steps, room.steps, step=1, label=LABELS["num_inference_steps"])
            guidance = gr.Slider(1, 6, Options.guidance_scale, step=0.1, label=LABELS["guidance_scale"], info="1: none")
            count = gr.Slider(1, limits.pictures, 1, step=1, label=LABELS["num_images"])
        self.sampling = [seed, steps, guidance, count]

    def wire(self) -> None:
        """Which event calls what."""
        self.persons.click(lambda number: str(self.examples[number]), self.persons, self.person, **AT_ONCE)
        self.wearers.click(
            lambda number: (str(self.examples[number]), WORN), self.wearers, [self.garment, self.kind], **AT_ONCE
        )
        ready = ([self.person, self.garment], [self.make, self.stop, self.progress])
        for trigger, look in (
            (self.person.change, self.look),
            (self.category.input, self.look_again),
            (self.whose.input, self.look_again),
        ):
            looking = trigger(self.wait, outputs=[self.region, self.remarks, self.make], **AT_ONCE).then(
                look,
                [self.person, self.category, self.whose],
                [self.person, self.whose, self.region, self.remarks],
                **ON_PAGE,
                **ONE_AT_A_TIME,
                show_progress_on=self.progress,
            )
            afterwards(looking, self.settle, *ready, **AT_ONCE)
        looking = self.garment.change(self.look_at_garment, self.garment, self.garment, **ON_PAGE)
        afterwards(looking, self.settle, *ready, **AT_ONCE)
        inputs = [self.person, self.region, self.garment, self.kind, self.category, self.results, self.history]
        self.wire_making(self.try_on, [*inputs, *self.sampling], [self.person, self.garment])

    def wait(self) -> Shown:
        """Before a person is looked at: nothing of the one before stays."""
        return {self.region: None, self.remarks: said([]), self.make: gr.Button(interactive=False)}

    def look(self, visitor: gr.Request, path: str | None, category: str, whose: int | None = None) -> Iterator[Shown]:
        """What is repainted of the largest person of a new photo.

        Args:
            whose: Of the photo before.
        """
        if path is None:
            yield {self.region: None}
            return
        with errors_in_one_sentence():
            converted = self.converted(visitor, path)
            if converted is not None:
                yield {self.person: converted}  # which changes the photo: this is called again
                return
        yield {self.whose: gr.Radio([], value=None, visible=False)}
        yield from self.look_again(path, category, None)

    def look_again(self, path: str | None, category: str, whose: int | None) -> Iterator[Shown]:
        """What is repainted of a person."""
        if path is None:
            yield {self.region: None}
            return
        with errors_in_one_sentence():
            photo = self.studio.open(path)
            try:
                found = self.outfits.region(photo, category, whose)
            except Mistake as error:
                gr.Warning(f"{error} Choose another garment, or paint over what is to be repainted.")
                yield {self.region: to_editor(photo, None, name_of(path))}
                return
            yield {
                self.region: to_editor(photo, found.mask, name_of(path)),
                self.whose: several_people(found),
                self.remarks: said(found.remarks),
            }

    def look_at_garment(self, visitor: gr.Request, path: str | None) -> Shown:
        """A picture of a garment that browsers show."""
        with errors_in_one_sentence():
            converted = None if path is None else self.converted(visitor, path)
        return {} if converted is None else {self.garment: converted}

    def try_on(
        self,
        visitor: gr.Request,
        person: str | None,
        editor: dict[str, Any] | None,
        garment: str | None,
        kind: str,
        category: str,
        results: list[Result],
        history: list[tuple[str, str]],
        *sampling: Any,
    ) -> Iterator[Shown]:
        """The picture while it emerges, and its files when it is there."""
        with errors_in_one_sentence():
            how = self.studio.sampling(*sampling)
            photo = self.studio.open(person)
            region = from_editor(editor, photo, name_of(person))
            self.studio.warn_of_large(region)
            outfit = self.outfits.outfit(person, region, garment=garment, worn=kind == WORN, category=category)
            run = self.studio.visits.start(visitor.session_hash)
            yield from self.follow(
                run,
                lambda: self.outfits.try_on(run, outfit, how),
                name=outfit.name,
                results=results,
                history=history,
            )

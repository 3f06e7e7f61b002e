"""The tab for try-on: a person, a garment or somebody who wears it, the region to repaint, and the person in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr
from PIL import Image

from temu_vtoff.hub.sources import PUBLISHED_TRYON
from temu_vtoff.segmentation.categories import DATASET_CATEGORIES
from temu_vtoff.stages import Options
from web_page.fields import (
    Shown,
    example_photos,
    person_field,
    photo_upload,
    sentences_field,
)
from web_page.found import Found
from web_page.mask_editor import mask_editor
from web_page.messages import LABELS, errors_in_one_sentence
from web_page.outfits import Outfits
from web_page.photo_tab import PhotoTab
from web_page.photos import from_editor
from web_page.results import Result
from web_page.studio import Studio, name_of
from web_page.work_tab import AT_ONCE, ON_PAGE

WORN = "worn"
KINDS = [("A picture of it alone", "alone"), ("Somebody wears it", WORN)]
NEEDED = (
    "Putting garments on people needs a try-on model, and this page runs without one. Whoever runs it can start it "
    f"with one, for example {PUBLISHED_TRYON}."
)


class TryOnTab(PhotoTab):
    """See `PhotoTab`; the studio's models have a fitting room, and the mask is the region that is repainted."""

    PREFIX: ClassVar[str] = "on_"
    FILES: ClassVar[dict[str, str]] = {"picture": "PNG", "panel": "Panel"}
    OTHERWISE: ClassVar[str] = "Choose another garment, or paint over what is to be repainted."

    def __init__(self, studio: Studio, examples: list[Path]) -> None:
        self.outfits = Outfits(studio)
        super().__init__(studio, examples)

    def build_inputs(self) -> None:
        gr.Markdown("### 1. Person")
        self.photo = photo_upload(label="Person", elem_id="person")
        self.persons = example_photos(self.photo, self.examples, elem_id="persons")
        self.person = person_field(elem_id="on_whose")
        gr.Markdown("### 2. Garment")
        self.category = self.build_categories(DATASET_CATEGORIES)
        self.kind = gr.Radio(KINDS, value=KINDS[0][1], show_label=False, container=False, elem_id="kind")
        self.garment = photo_upload(label="Garment", elem_id="garment")
        self.wearers = example_photos(self.garment, self.examples, elem_id="wearers")
        gr.Markdown("### 3. What is repainted")
        self.mask = mask_editor(
            elem_id="region",
            empty="The person and the region that is repainted appear here.",
            change="Change the region",
        )
        self.remarks = sentences_field("on_remarks")

    def build_results(self) -> None:
        self.build_outputs("4. The person in the garment", "Try on")
        self._build_sampling()

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
        self.persons.click(lambda number: str(self.examples[number]), self.persons, self.photo, **AT_ONCE)
        self.wearers.click(
            lambda number: (str(self.examples[number]), WORN), self.wearers, [self.garment, self.kind], **AT_ONCE
        )
        needed = [self.photo, self.garment]
        self.wire_looking(needed)
        self.settled(self.garment.change(self.look_at_garment, self.garment, self.garment, **ON_PAGE), needed)
        inputs = [self.photo, self.mask, self.garment, self.kind, self.category, self.results, self.history]
        self.wire_making(self.try_on, [*inputs, *self.sampling], needed)

    def find(self, photo: Image.Image, category: str, person: int | None) -> Found:
        return self.outfits.region(photo, category, person)

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

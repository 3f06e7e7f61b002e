"""The try-on model behind the page: one copy for all visitors, which takes turns with the other models."""

import threading
from typing import Any

from PIL import Image

from temu_vtoff.builtin import BUILTIN
from temu_vtoff.errors import ArgumentError
from temu_vtoff.pictures import unfit_picture
from temu_vtoff.stages import Person, Product, TryOn, TryOnOptions, TryOnResult
from temu_vtoff.tryoff.watching import OnStep, watcher
from temu_vtoff.tryon.pipeline import TryOnPipeline
from web_page.found import Found
from web_page.photos import on_screen


class FittingRoom:
    """Try-on, loaded once.

    Args:
        options: As the page was started; visitors choose the sampling themselves.
        lock: Held while any model of the page works.

    Raises:
        CheckpointError: A model can't be had.
        ArgumentError: What is asked for can't be had on this machine.
    """

    def __init__(self, options: TryOnOptions, lock: threading.Lock) -> None:
        self.toolkit = TryOn(options, keep_loaded=True)
        self.toolkit.pipeline(), self.toolkit.segmenter()
        self._lock = lock

    @property
    def is_builtin(self) -> bool:
        """Whether the model is the built-in one, which knows drawn people only."""
        return self.toolkit.options.tryon == BUILTIN

    @property
    def steps(self) -> int:
        """How many steps are taken where nothing else is chosen."""
        options = self.toolkit.options
        if options.num_inference_steps is not None:
            return options.num_inference_steps
        return TryOnPipeline.steps_of(options.preset)

    def region(self, photo: Image.Image, category: str, number: int | None = None) -> Found:
        """What is repainted of a person for a garment of this category.

        Args:
            number: Of the person from left to right, from 1; the largest when left out.

        Raises:
            GarmentNotFoundError: There is no such garment, or no person.
            ArgumentError: Fewer people.
        """
        person = self._person(photo, category, person=number)
        return Found(
            category,
            person.region.resize(photo.size, Image.Resampling.NEAREST),
            warnings=tuple(person.warnings),
            people=person.people,
            person=person.number,
        )

    def shows_somebody(self, garment: Image.Image) -> bool:
        """Whether a picture shows somebody who wears the garment, so that it is no product picture."""
        with self._lock:
            (looked_at,) = self.toolkit.check_garments(garment)
        if isinstance(looked_at.error, ArgumentError):
            return True
        if looked_at.error is not None:
            raise looked_at.error
        return False

    def try_on(
        self,
        photo: Image.Image,
        region: Image.Image,
        garment: Image.Image | Product,
        category: str,
        sampling: dict[str, Any],
        on_step: OnStep,
    ) -> TryOnResult:
        """The person in the garment.

        Args:
            region: L, white where the person is repainted, of the photo's size.
            sampling: Arguments of `TryOn.generate`, with the number of steps.
            on_step: As for `web_page.models.Models.try_off`.
        """
        person = self._person(photo, category, mask=region)
        previews = self.toolkit.taken["offload"] == "none"
        size = on_screen(photo).size

        def unfitted(step: int, steps: int, preview: Image.Image | None) -> bool:
            return on_step(step, steps, None if preview is None else unfit_picture(preview, size))

        watch = watcher(unfitted, sampling["num_inference_steps"], previews)
        with self._lock:
            (made,) = self.toolkit.generate([person], [garment], callback_on_step_end=watch, **sampling)
        if made.error is not None:
            raise made.error
        return made

    def _person(self, photo: Image.Image, category: str, **given: Any) -> Person:
        with self._lock:
            (person,) = self.toolkit.prepare(photo, category, **given)
        if person.error is not None:
            raise person.error
        return person

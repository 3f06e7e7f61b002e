"""What the tab and the endpoint for try-on do: find the region, read the garment, put it on."""

from dataclasses import dataclass
from typing import Any

from PIL import Image

from temu_vtoff.segmentation.masks import GarmentNotFoundError
from temu_vtoff.stages import Garment
from web_page.found import Found
from web_page.messages import PHOTOGRAPH, Mistake, not_found
from web_page.models import Settings
from web_page.photos import looks_like_a_photograph
from web_page.results import Result, file_name, save_outfits
from web_page.run import Part, Run
from web_page.studio import Studio, check_category

NAME = 40  # characters of each file's name in the name of an outfit
SOMEBODY = "the picture of the garment shows somebody: choose that somebody wears it, and it is taken off first."


@dataclass(frozen=True)
class Outfit:
    """What is to be put on whom.

    Attributes:
        person: The photo.
        region: L, white where the person is repainted, of the photo's size.
        garment: A product picture, or a garment that somebody wears and that is taken off first.
        name: Of the files.
    """

    person: Image.Image
    region: Image.Image
    garment: Image.Image | Garment
    category: str
    name: str


class Outfits:
    """
    Args:
        studio: Its models have a fitting room.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio, self.room = studio, studio.models.fitting_room

    def region(self, photo: Image.Image, category: str, person: int | None = None) -> Found:
        """What is repainted of a person for a garment.

        Args:
            person: Number from left to right, from 1; the largest when left out.

        Raises:
            Mistake: There is no person, or nothing is worn there.
            ArgumentError: Fewer people.
        """
        check_category(category)
        try:
            return self.room.region(photo, category, person)
        except GarmentNotFoundError as error:
            raise Mistake(not_found(category, error.found)) from error

    def outfit(self, person: str, region: Image.Image, garment: str | None, category: str, worn: bool) -> Outfit:
        """What is to be put on whom, of uploaded files; a garment that somebody wears is segmented and described.

        Raises:
            Mistake: A file can't be taken, the garment is not in its photo, or the photo of it alone shows somebody.
        """
        check_category(category)
        picture = self.studio.open(garment, "picture of a garment")
        name = f"{file_name(person)[:NAME]}_{file_name(garment)[:NAME]}"
        if worn:
            mask = self.studio.segment_and_tell(picture, category)
            caption = self.studio.describe(picture, category)
            picture = Garment(picture, category, name=name, mask=mask, caption=caption)
        elif self.room.shows_somebody(picture):
            raise Mistake(SOMEBODY)
        return Outfit(self.studio.open(person), region, garment=picture, category=category, name=name)

    def warning(self, outfit: Outfit) -> str:
        """What is to be said about the picture of an outfit; empty when nothing is."""
        drawn = [outfit.person] if self.room.is_builtin else []
        if isinstance(outfit.garment, Garment) and self.studio.models.is_builtin:
            drawn.append(outfit.garment.photo)
        return PHOTOGRAPH if any(map(looks_like_a_photograph, drawn)) else ""

    def try_on(self, run: Run, outfit: Outfit, sampling: dict[str, Any]) -> list[Result]:
        """Makes the pictures of a person in another garment and their files; none when the run is stopped.

        Args:
            sampling: As `Studio.sampling` gives it.
        """
        garment, part = outfit.garment, Part()
        if isinstance(garment, Garment):
            models = self.studio.models
            settings = Settings(models.own_size.width, models.own_size.height, models.steps, seed=sampling["seed"])
            garment = self.studio.take_off(run, garment, settings, Part("taking the garment off: ", 0, 2))
            part = Part("putting it on: ", 1, 2)
        if garment is None or not part.begins(run):
            return []
        made = self.room.try_on(
            outfit.person,
            outfit.region,
            garment=garment,
            category=outfit.category,
            sampling=sampling,
            on_step=part.reporter(run),
        )
        if run.stopped.is_set():
            return []
        return save_outfits(made, outfit.name, folder=run.folder, sampling=sampling, warning=self.warning(outfit))

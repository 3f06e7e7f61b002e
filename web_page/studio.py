"""What both tabs and the endpoints for programs do with photos: open, segment, describe, try off, within a visit."""

import math
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from temu_vtoff.errors import ArgumentError
from temu_vtoff.pictures import RESIZE_MODES, mask_doubt
from temu_vtoff.segmentation.categories import TRYOFF_CATEGORIES
from temu_vtoff.segmentation.masks import GarmentNotFoundError
from temu_vtoff.stages import Garment, Product
from temu_vtoff.tryoff.watching import OnStep
from web_page.messages import GARMENT_WORDS, Mistake, in_words, not_found
from web_page.models import Models, Settings
from web_page.photos import looks_like_a_photograph, open_upload
from web_page.results import Result, file_name, save_outfits, save_results
from web_page.visits import Run, Step, Visits

ALL = "all"  # the category that stands for every garment found
FITS = ("pad", "crop")
NAME = 40  # characters of each file's name in the name of an outfit
PHOTOGRAPH = (
    "This looks like a photograph. The small model of this page knows drawn people only, so don't trust its picture."
)

SOMEBODY = "the picture of the garment shows somebody: choose that somebody wears it, and it is taken off first."


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask for."""

    megapixels: float = 50
    photos: int = 16  # at once
    pictures: int = 4  # of one garment
    steps: int = 100


@dataclass(frozen=True)
class Part:
    """Which part of some work a photo is: number `number` of `count`; `where` stands before its steps."""

    where: str = ""
    number: int = 0
    count: int = 1


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


class Studio:
    """
    Args:
        models: Serve all visitors.
        visits: Know who is here.
        limits: Hold for every visitor.
    """

    def __init__(self, models: Models, visits: Visits, limits: Limits) -> None:
        self.models, self.visits, self.limits = models, visits, limits

    def open(self, path: str | None, what: str = "photo") -> Image.Image:
        """
        Raises:
            Mistake: There is no photo, or it can't be taken.
        """
        if path is None:
            raise Mistake(f"there is no {what} yet: drop one, paste one, or click an example.")
        return open_upload(path, self.limits.megapixels)

    def segment(self, photo: Image.Image, category: str) -> Image.Image:
        """The garment's mask, L, 0 or 255, of the photo's size; tells the visitor when another garment serves.

        Raises:
            Mistake: It is not in the photo.
        """
        check_category(category)
        try:
            (found,) = self.models.segment(photo, category)
        except GarmentNotFoundError as error:
            raise Mistake(not_found(category, error.found)) from error
        if found.instead:
            gr.Info(f"No {GARMENT_WORDS[category]} was found: {in_words(found.instead)} is taken instead.")
        return found.mask

    def categories_in(self, photo: Image.Image) -> list[str]:
        """The garments that the photo shows."""
        try:
            return [found.category for found in self.models.segment(photo, ALL)]
        except GarmentNotFoundError:
            return []

    def describe(self, photo: Image.Image, category: str) -> str:
        """The garment's shape in words."""
        check_category(category)
        return self.models.caption(photo, category)

    def warning(self, photo: Image.Image) -> str:
        """What is to be said about the picture made of a photo; empty when nothing is."""
        return PHOTOGRAPH if self.models.is_builtin and looks_like_a_photograph(photo) else ""

    def warn_of_long(self, caption: str) -> None:
        """Tells the visitor how much of a caption is read when it is not all."""
        read = self.models.words_read(caption)
        if read is not None:
            gr.Warning(f"The caption is long: the model reads its first {read} words only.")

    def warn_of_large(self, mask: Image.Image) -> None:
        """Tells the visitor when a mask covers nearly everything."""
        if mask_doubt(mask) is not None:
            gr.Warning("The mask covers nearly the whole photo: only the garment should be painted over.")

    def region(self, photo: Image.Image, category: str) -> Image.Image:
        """What is repainted of a person for a garment: L, 0 or 255, of the photo's size.

        Raises:
            Mistake: There is no person, or nothing is worn there.
        """
        check_category(category)
        try:
            return self.models.fitting_room.region(photo, category)
        except GarmentNotFoundError as error:
            raise Mistake(not_found(category, error.found)) from error

    def outfit(self, person: str, region: Image.Image, garment: str | None, category: str, worn: bool) -> Outfit:
        """What is to be put on whom, of uploaded files; a garment that somebody wears is segmented and described.

        Raises:
            Mistake: A file can't be taken, the garment is not in its photo, or the photo of it alone shows somebody.
        """
        check_category(category)
        picture = self.open(garment, "picture of a garment")
        name = f"{file_name(person)[:NAME]}_{file_name(garment)[:NAME]}"
        if worn:
            mask, caption = self.segment(picture, category), self.describe(picture, category)
            picture = Garment(picture, category, name=name, mask=mask, caption=caption)
        elif self.models.fitting_room.shows_somebody(picture):
            raise Mistake(SOMEBODY)
        return Outfit(self.open(person), region, garment=picture, category=category, name=name)

    def outfit_warning(self, outfit: Outfit) -> str:
        """What is to be said about the picture of an outfit; empty when nothing is."""
        drawn = [outfit.person] if self.models.fitting_room.is_builtin else []
        if isinstance(outfit.garment, Garment) and self.models.is_builtin:
            drawn.append(outfit.garment.photo)
        return PHOTOGRAPH if any(map(looks_like_a_photograph, drawn)) else ""

    def try_off(self, run: Run, garment: Garment, settings: Settings, part: Part | None = None) -> list[Result]:
        """Makes the product pictures and their files; none when the run is stopped."""
        product = self._take_off(run, garment, settings, Part() if part is None else part)
        return [] if product is None else save_results(product, run.folder)

    def try_on(self, run: Run, outfit: Outfit, sampling: dict[str, Any]) -> list[Result]:
        """Makes the pictures of a person in another garment and their files; none when the run is stopped.

        Args:
            sampling: As `sampling` gives it.
        """
        garment, part = outfit.garment, Part()
        if isinstance(garment, Garment):
            own = self.models.own_size
            settings = Settings(own.width, own.height, self.models.steps, seed=sampling["seed"])
            garment = self._take_off(run, garment, settings, Part("taking the garment off: ", 0, 2))
            part = Part("putting it on: ", 1, 2)
        if garment is None or not run.report(Step(part.number / part.count, f"{part.where}reading the photo")):
            return []
        made = self.models.fitting_room.try_on(
            outfit.person,
            outfit.region,
            garment=garment,
            category=outfit.category,
            sampling=sampling,
            on_step=_reporter(run, part),
        )
        return [] if run.stopped.is_set() else save_outfits(made, outfit.name, run.folder)

    def _take_off(self, run: Run, garment: Garment, settings: Settings, part: Part) -> Product | None:
        if not run.report(Step(part.number / part.count, f"{part.where}reading the photo")):
            return None
        product = self.models.try_off(garment, settings, _reporter(run, part))
        return None if run.stopped.is_set() else product

    def sampling(self, seed: Any, steps: Any, guidance: Any, count: Any) -> dict[str, Any]:
        """Arguments of both stages' `generate`, checked; a blank seed becomes a random one.

        Raises:
            ArgumentError: A value that can't be.
        """
        if isinstance(guidance, bool) or not isinstance(guidance, (int, float)) or not math.isfinite(guidance):
            raise ArgumentError(f"{{guidance_scale}} is {guidance}; give a number.", "guidance_scale")
        return {
            "seed": secrets.randbelow(2**32) if seed is None else _whole(seed, "seed", 0, 2**32 - 1),
            "num_inference_steps": _whole(steps, "num_inference_steps", 1, self.limits.steps),
            "guidance_scale": float(guidance),
            "num_images": _whole(count, "num_images", 1, self.limits.pictures),
        }

    def settings(self, seed: Any, steps: Any, guidance: Any, size: Any, count: Any, fit: Any = FITS[0]) -> Settings:
        """What "Advanced" holds, checked; a blank seed becomes a random one.

        Raises:
            ArgumentError: A value that can't be.
        """
        offered = [f"{width}x{height}" for width, height in self.models.sizes()]
        if size not in offered:
            raise ArgumentError(f"{{width}} is {size}; choose one of {', '.join(offered)}.", "width")
        if fit not in RESIZE_MODES:
            raise ArgumentError(f"{{resize_mode}} is {fit}; choose {' or '.join(FITS)}.", "resize_mode")
        width, height = map(int, size.split("x"))
        sampling = self.sampling(seed, steps, guidance, count)
        return Settings(
            width=width,
            height=height,
            steps=sampling["num_inference_steps"],
            guidance=sampling["guidance_scale"],
            seed=sampling["seed"],
            count=sampling["num_images"],
            fit=fit,
        )


def _reporter(run: Run, part: Part) -> OnStep:
    """Tells a run's visitor about the steps of a part of its work."""

    def on_step(step: int, steps: int, preview: Image.Image | None) -> bool:
        share = (part.number + step / steps) / part.count
        return run.report(Step(share, f"{part.where}step {step} of {steps}", preview))

    return on_step


def check_category(category: Any) -> None:
    """
    Raises:
        ArgumentError: It is none of them.
    """
    if category not in TRYOFF_CATEGORIES:
        raise ArgumentError(f"{{category}} is {category!r}; choose one of {', '.join(TRYOFF_CATEGORIES)}.", "category")


def name_of(path: str | Path) -> str:
    """A photo's name by which its mask is told from others': the folder of an upload is named by its content."""
    return "/".join(Path(path).parts[-2:])


def _whole(value: Any, name: str, least: int, most: int) -> int:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or value != int(value) or not least <= value <= most:
        raise ArgumentError(f"{{{name}}} is {value}; give a whole number from {least} to {most}.", name)
    return int(value)

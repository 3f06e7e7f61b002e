"""What both tabs and the endpoints for programs do with photos: open, segment, describe, try off, within a visit."""

import math
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from temu_vtoff.errors import ArgumentError, check_choice
from temu_vtoff.pictures import RESIZE_MODES, mask_doubt
from temu_vtoff.segmentation.categories import TRYOFF_CATEGORIES
from temu_vtoff.segmentation.masks import GarmentNotFoundError
from temu_vtoff.stages import Garment, Product
from web_page.finishing import FINISHING, wanted
from web_page.found import Found
from web_page.messages import PHOTOGRAPH, Mistake, not_found
from web_page.models import Models, Settings
from web_page.photos import looks_like_a_photograph, open_upload
from web_page.results import Result, save_results
from web_page.run import Part, Run
from web_page.visits import Visits

ALL = "all"  # the category that stands for every garment found
FITS = ("pad", "crop")


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask for."""

    megapixels: float = 50
    photos: int = 16  # at once
    pictures: int = 4  # of one garment
    steps: int = 100


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

    def segment(self, photo: Image.Image, category: str, person: int | None = None) -> Found:
        """The garment in a photo.

        Args:
            person: Whose, from left to right, from 1; the largest person's when left out.

        Raises:
            Mistake: It is not in the photo.
            ArgumentError: Fewer people.
        """
        check_category(category)
        try:
            (found,) = self.models.segment(photo, category, person)
        except GarmentNotFoundError as error:
            raise Mistake(not_found(category, error.found)) from error
        return found

    def segment_and_tell(self, photo: Image.Image, category: str, person: int | None = None) -> Image.Image:
        """The garment's mask; what is to be said about the photo floats over the page or goes to the program."""
        found = self.segment(photo, category, person)
        for remark in found.remarks:
            gr.Warning(remark)
        return found.mask

    def garments_in(self, photo: Image.Image, person: int | None = None) -> list[Found]:
        """The garments of a person of the photo."""
        try:
            return self.models.segment(photo, ALL, person)
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

    def try_off(self, run: Run, garment: Garment, settings: Settings, part: Part | None = None) -> list[Result]:
        """Makes the product pictures and their files; none when the run is stopped."""
        product = self.take_off(run, garment, settings, Part() if part is None else part)
        if product is None:
            return []
        return save_results(product, run.folder, settings, self.warning(garment.photo))

    def take_off(self, run: Run, garment: Garment, settings: Settings, part: Part) -> Product | None:
        """The product pictures; None when the run is stopped."""
        if not part.begins(run):
            return None
        product = self.models.try_off(garment, settings, part.reporter(run))
        return None if run.stopped.is_set() else product

    def sampling(self, seed: Any, steps: Any, guidance: Any, count: Any) -> dict[str, Any]:
        """Arguments of both stages' `generate`, checked; a blank seed becomes a random one.

        Raises:
            ArgumentError: A value that can't be.
        """
        if isinstance(guidance, bool) or not isinstance(guidance, (int, float)) or not math.isfinite(guidance):
            raise ArgumentError(f"{{guidance_scale}} is {guidance}; give a number.", "guidance_scale")
        return {
            "seed": secrets.randbelow(2**32) if seed is None else whole(seed, "seed", 0, 2**32 - 1),
            "num_inference_steps": whole(steps, "num_inference_steps", 1, self.limits.steps),
            "guidance_scale": float(guidance),
            "num_images": whole(count, "num_images", 1, self.limits.pictures),
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

    def settings_of_page(self, *how: Any) -> Settings:
        """What the fields of `web_page.finishing.wanted` and then those of `settings` hold; the best picture first.

        Raises:
            ArgumentError: A value that can't be.
        """
        finish, settings = wanted(*how[:FINISHING]), self.settings(*how[FINISHING:])
        return replace(settings, finish=finish, best_first=True)


def check_category(category: Any) -> None:
    """
    Raises:
        ArgumentError: It is none of them.
    """
    check_choice("category", category, TRYOFF_CATEGORIES)


def name_of(path: str | Path) -> str:
    """A photo's name by which its mask is told from others': the folder of an upload is named by its content."""
    return "/".join(Path(path).parts[-2:])


def whole(value: Any, name: str, least: int, most: int) -> int:
    """
    Args:
        name: Of the argument.

    Raises:
        ArgumentError: It is no whole number from `least` to `most`.
    """
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or value != int(value) or not least <= value <= most:
        raise ArgumentError(f"{{{name}}} is {value}; give a whole number from {least} to {most}.", name)
    return int(value)

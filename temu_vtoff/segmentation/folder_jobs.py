"""What is made of each photo of a folder: masks or a label map, in files that hold the settings they were made with."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from temu_vtoff.errors import check_choice
from temu_vtoff.pictures import is_whole_picture, list_photos, save_picture, unique_stems
from temu_vtoff.segmentation.categories import CATEGORIES
from temu_vtoff.segmentation.conversion import convert_label_map
from temu_vtoff.segmentation.labels import ATR, Labels
from temu_vtoff.segmentation.layouts import LAYOUTS, check_layout, check_place
from temu_vtoff.segmentation.masks import MASK_ENDINGS, GarmentMask, garment_mask, mask_picture, masked_image
from temu_vtoff.segmentation.people import OnePerson, check_person, one_person


@dataclass(frozen=True)
class Target:
    """What is made of each photo.

    Attributes:
        category, clothes, person: Arguments of `batch_segment_clothing`.
        layout: Layout of the label map that is written instead of masks.

    Raises:
        ArgumentError: An unknown category or layout, or a number of a person below 1.
    """

    category: str
    clothes: Sequence[str] | None
    person: int | None
    layout: str | None

    def __post_init__(self) -> None:
        check_choice("category", self.category, CATEGORIES)
        check_person(self.person)
        if self.layout is not None:
            check_layout(self.layout)

    def describe(self, model: str | Path) -> str:
        """For the files: what they were made with."""
        if self.layout is not None:
            what = f"label maps of {self.layout}"
        elif self.clothes is not None:
            what = ", ".join(next((n for n in ATR.names if n.lower() == name.lower()), name) for name in self.clothes)
        else:  # in ATR's words, which earlier versions wrote
            known = self.category in ATR.categories
            what = ", ".join(ATR.name_all(ATR.of_category(self.category))) if known else self.category
        return f"{model} for {what}" + (f", person {self.person}" if self.person is not None else "")

    def files(self, stem: Path) -> list[Path]:
        """The files of a photo; the first one holds the settings."""
        if self.layout is not None:
            return [stem.with_name(LAYOUTS[self.layout].name(stem.name))]
        return [stem.with_name(stem.name + ending) for ending in MASK_ENDINGS]


@dataclass(eq=False)
class Job:
    """A photo and the files that are made of it.

    Attributes:
        photo: Its path.
        stem: Path of the files, without their endings.
        target: What is made.
        settings: What the files are made with; kept in the first one.
    """

    photo: Path
    stem: Path
    target: Target
    settings: str

    @cached_property
    def finished(self) -> bool:
        """Whether an earlier run with the same settings made the files.

        Raises:
            ValueError: A run with other settings did.
        """
        first, *others = self.target.files(self.stem)
        if not is_whole_picture(first):
            return False
        with Image.open(first) as picture:
            found = picture.info.get("Settings", "unknown settings")
        if found != self.settings:
            raise ValueError(
                f"{first} is there already, made with {found}, not {self.settings}: choose another "
                "output folder, or overwrite them."
            )
        return all(map(is_whole_picture, others))

    def write(self, photo: Image.Image, label_map: np.ndarray, labels: Labels) -> tuple[OnePerson, GarmentMask | None]:
        """Makes the garment's mask, or the label map, and writes the files."""
        target, garment = self.target, None
        one = one_person(label_map, labels, target.person, details=target.clothes is not None)
        if target.layout is not None:
            pictures = [convert_label_map(one.label_map, labels, target.layout)]
        else:
            garment = garment_mask(one.label_map, target.category, target.clothes, labels)
            pictures = [mask_picture(garment.mask), masked_image(photo, garment.mask)]
        first, *others = target.files(self.stem)
        first.parent.mkdir(parents=True, exist_ok=True)
        settings = PngInfo()
        settings.add_text("Settings", self.settings)
        for picture, path in zip(pictures[1:], others, strict=True):
            save_picture(picture, path, compress_level=1)
        save_picture(pictures[0], first, pnginfo=settings)
        return one, garment


def list_jobs(img_dir: Path, out_dir: Path, target: Target, settings: str) -> list[Job]:
    """A job for each photo of a folder and its subfolders.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: No pictures in it, or label maps that would come among the photos or replace each other.
    """
    if not img_dir.is_dir():
        raise FileNotFoundError(f"There is no folder {img_dir}.")
    if target.layout is not None:
        check_place(target.layout, out_dir, img_dir)
    folders: dict[Path, list[Path]] = {}
    for photo in list_photos(img_dir, recursive=True):
        folders.setdefault(photo.parent, []).append(photo)
    if not folders:
        raise ValueError(f"There are no pictures in the folder {img_dir}.")
    jobs = [
        Job(photo, out_dir / folder.relative_to(img_dir) / stem, target, settings)
        for folder, photos in folders.items()
        for photo, stem in zip(photos, unique_stems(photos), strict=True)
    ]
    made: dict[Path, Path] = {}
    for job in jobs:
        first = target.files(job.stem)[0]
        if first in made:
            raise ValueError(f"{made[first]} and {job.photo} would both become {first}: rename one of them.")
        made[first] = job.photo
    return jobs

"""What visitors take home: product pictures as they want them and cut out, in a ZIP, and as a panel with the photo."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from temu_vtoff.captioning.attributes import attributes_from_answer
from temu_vtoff.finishing import Finish, cut_out, finish_picture
from temu_vtoff.pictures import open_picture, panel, save_picture, short_stem
from temu_vtoff.stages import Product, TryOnResult
from web_page.messages import doubts, mark
from web_page.models import Settings
from web_page.photos import on_screen


@dataclass(frozen=True)
class Result:
    """The files of one product picture, or of one person in another garment.

    Attributes:
        picture: PNG as it was made.
        finished: With the background, margin and format that the visitor wants; otherwise `picture`.
        panel: Photo, mask and picture side by side.
        before: The photo at the picture's size.
        caption: A few words on the picture.
        details: How it was made and, of a product picture, its mark.
        warnings: Why it may not be trusted, in sentences.
        cutout: PNG of a product picture with a transparent background.
        finish: What `finished` shows.
    """

    picture: Path
    finished: Path
    panel: Path
    before: Path
    caption: str
    details: str
    warnings: tuple[str, ...] = ()
    cutout: Path | None = None
    finish: Finish = field(default_factory=Finish)

    @property
    def files(self) -> list[Path]:
        """What the visitor takes home."""
        return [file for file in (self.finished, self.cutout, self.panel) if file is not None]


def file_name(path: str | Path) -> str:
    """A name for what is made of an uploaded file: its stem, shortened where it is long."""
    return short_stem(Path(path).stem)


def save_results(product: Product, folder: Path, settings: Settings, warning: str = "") -> list[Result]:
    """Writes each picture's files: name.png, name_cutout.png, name_panel.png, name_2.png and so on.

    Args:
        settings: As it was made, with the wanted finish.
        warning: Of the photo's kind; empty when there is none.
    """
    garment = product.garment
    before = save_picture(product.photo, folder / f"{garment.name}_photo.png")
    how = f"{settings.steps} steps, {settings.width}x{settings.height}"
    results = []
    for number, (image, seed, quality) in enumerate(
        zip(product.images, product.seeds, product.quality, strict=True), 1
    ):
        stem = garment.name if number == 1 else f"{garment.name}_{number}"
        sheet = panel([product.photo, product.mask, image], garment.caption)
        picture = save_picture(image, folder / f"{stem}.png")
        results.append(
            Result(
                picture=picture,
                finished=picture,
                cutout=save_picture(cut_out(image).image(), folder / f"{stem}_cutout.png"),
                panel=save_picture(sheet, folder / f"{stem}_panel.png"),
                before=before,
                caption=garment.caption,
                details=f"Seed {seed}, {how}. {mark(quality)}",
                warnings=tuple(filter(None, [warning, doubts(quality)])),
            )
        )
    return finish_results(results, settings.finish, folder / "finished")


def finish_results(results: list[Result], finish: Finish, folder: Path) -> list[Result]:
    """The results with another background, margin or format.

    Args:
        folder: For the new files, which have the pictures' names: none that holds others.
    """
    if finish == Finish():
        return [replace(result, finished=result.picture, finish=finish) for result in results]
    folder.mkdir(exist_ok=True)
    changed = []
    for result in results:
        shown = finish_picture(open_picture(result.picture), finish)
        file = save_picture(shown, folder / f"{result.picture.stem}{finish.suffix}", **finish.save_options())
        changed.append(replace(result, finished=file, finish=finish))
    return changed


def save_outfits(
    made: TryOnResult, name: str, folder: Path, sampling: dict[str, Any], warning: str = ""
) -> list[Result]:
    """As `save_results`, for pictures of a person in another garment."""
    before = save_picture(made.photo, folder / f"{name}_photo.png")
    results = []
    for number, image in enumerate(made.images, 1):
        stem = name if number == 1 else f"{name}_{number}"
        sheet = panel([on_screen(made.photo), made.region, made.garment, image])
        picture = save_picture(image, folder / f"{stem}.png")
        results.append(
            Result(
                picture=picture,
                finished=picture,
                panel=save_picture(sheet, folder / f"{stem}_panel.png"),
                before=before,
                caption=name.replace("_", " "),
                details=f"Seed {sampling['seed'] + number - 1}, {sampling['num_inference_steps']} steps",
                warnings=(warning,) if warning else (),
            )
        )
    return results


def zip_results(results: Sequence[Result], path: Path) -> Path:
    """All files and captions.txt in one; of product pictures also attributes.json, read from their captions."""
    lines = [f"{result.finished.name}: {result.caption}\n" for result in results]
    attributes = {
        result.finished.name: attributes_from_answer(result.caption) for result in results if result.cutout is not None
    }
    with zipfile.ZipFile(path, "w") as archive:  # stored: PNGs don't get smaller
        for result in results:
            for file in result.files:
                archive.write(file, file.name)
        archive.writestr("captions.txt", "".join(lines))
        if attributes:
            archive.writestr("attributes.json", json.dumps(attributes, indent=1, ensure_ascii=False) + "\n")
    return path

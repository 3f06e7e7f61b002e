"""What visitors take home: product pictures on white and cut out, in a ZIP, and as a panel with photo and mask."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torchvision.transforms.functional import to_tensor

from temu_vtoff.metrics.silhouette import silhouettes
from temu_vtoff.pictures import panel, save_picture, short_stem
from temu_vtoff.segmentation.masks import mask_picture
from temu_vtoff.stages import Product, TryOnResult
from web_page.photos import on_screen


@dataclass(frozen=True)
class Result:
    """The files of one product picture, or of one person in another garment.

    Attributes:
        picture: PNG as it was made; a product picture on white.
        panel: Photo, mask and picture side by side.
        before: The photo at the picture's size.
        caption: A few words on the picture.
        cutout: PNG of a product picture with a transparent background.
    """

    picture: Path
    panel: Path
    before: Path
    caption: str
    cutout: Path | None = None

    @property
    def files(self) -> list[Path]:
        """What the visitor takes home."""
        return [file for file in (self.picture, self.cutout, self.panel) if file is not None]


def file_name(path: str | Path) -> str:
    """A name for what is made of an uploaded file: its stem, shortened where it is long."""
    return short_stem(Path(path).stem)


def cut_out(product: Image.Image) -> Image.Image:
    """The garment alone, RGBA: transparent where the product picture shows its white background."""
    shown = silhouettes(to_tensor(product.convert("RGB"))[None])[0]
    cut = product.convert("RGBA")
    cut.putalpha(mask_picture(shown.numpy()))
    return cut


def save_results(product: Product, folder: Path) -> list[Result]:
    """Writes each picture's files: name.png, name_cutout.png, name_panel.png, name_2.png and so on."""
    garment = product.garment
    before = save_picture(product.photo, folder / f"{garment.name}_photo.png")
    results = []
    for number, picture in enumerate(product.images, 1):
        stem = garment.name if number == 1 else f"{garment.name}_{number}"
        sheet = panel([product.photo, product.mask, picture], garment.caption)
        results.append(
            Result(
                picture=save_picture(picture, folder / f"{stem}.png"),
                cutout=save_picture(cut_out(picture), folder / f"{stem}_cutout.png"),
                panel=save_picture(sheet, folder / f"{stem}_panel.png"),
                before=before,
                caption=garment.caption,
            )
        )
    return results


def save_outfits(made: TryOnResult, name: str, folder: Path) -> list[Result]:
    """As `save_results`, for pictures of a person in another garment."""
    before = save_picture(made.photo, folder / f"{name}_photo.png")
    results = []
    for number, picture in enumerate(made.images, 1):
        stem = name if number == 1 else f"{name}_{number}"
        sheet = panel([on_screen(made.photo), made.region, made.garment, picture])
        results.append(
            Result(
                picture=save_picture(picture, folder / f"{stem}.png"),
                panel=save_picture(sheet, folder / f"{stem}_panel.png"),
                before=before,
                caption=name.replace("_", " "),
            )
        )
    return results


def zip_results(results: list[Result], path: Path) -> Path:
    """All pictures and captions.txt in one file."""
    with zipfile.ZipFile(path, "w") as archive:  # stored: PNGs don't get smaller
        for result in results:
            for file in result.files:
                archive.write(file, file.name)
        lines = [f"{result.picture.name}: {result.caption}\n" for result in results]
        archive.writestr("captions.txt", "".join(lines))
    return path

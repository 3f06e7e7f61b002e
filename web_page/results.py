"""What visitors take home: product pictures on white and cut out, in a ZIP, and as a panel with photo and mask."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torchvision.transforms.functional import to_tensor

from temu_vtoff.metrics.silhouette import silhouettes
from temu_vtoff.pictures import panel, save_picture, short_stem
from temu_vtoff.segmentation.masks import mask_picture
from temu_vtoff.stages import Product


@dataclass(frozen=True)
class Result:
    """The files of one product picture.

    Attributes:
        white: PNG as the model made it, on white.
        cutout: PNG with a transparent background.
        panel: Photo, mask and product picture side by side, with the caption.
        before: The photo at the product picture's size.
    """

    white: Path
    cutout: Path
    panel: Path
    before: Path
    caption: str


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
                white=save_picture(picture, folder / f"{stem}.png"),
                cutout=save_picture(cut_out(picture), folder / f"{stem}_cutout.png"),
                panel=save_picture(sheet, folder / f"{stem}_panel.png"),
                before=before,
                caption=garment.caption,
            )
        )
    return results


def zip_results(results: list[Result], path: Path) -> Path:
    """All pictures and captions.txt in one file."""
    with zipfile.ZipFile(path, "w") as archive:  # stored: PNGs don't get smaller
        for result in results:
            for file in (result.white, result.cutout, result.panel):
                archive.write(file, file.name)
        lines = [f"{result.white.name}: {result.caption}\n" for result in results]
        archive.writestr("captions.txt", "".join(lines))
    return path

"""What visitors take home: product pictures on white and cut out, one by one or in a ZIP."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from temu_vtoff.pictures import save_picture
from temu_vtoff.segmentation.masks import mask_picture


@dataclass(frozen=True)
class Result:
    """One product picture and its two files.

    Attributes:
        photo: What it was made of, at the product picture's size.
        white: PNG as the model made it, on white.
        cutout: PNG with a transparent background.
    """

    photo: Image.Image
    product: Image.Image
    caption: str
    white: Path
    cutout: Path


def cut_out(product: Image.Image) -> Image.Image:
    """The garment alone, RGBA: transparent where the product picture shows its white background."""
    from torchvision.transforms.functional import to_tensor

    from temu_vtoff.metrics.silhouette import silhouettes

    shown = silhouettes(to_tensor(product.convert("RGB"))[None])[0]
    cut = product.convert("RGBA")
    cut.putalpha(mask_picture(shown.numpy()))
    return cut


def save_results(
    photo: Image.Image, products: list[Image.Image], caption: str, folder: Path, name: str
) -> list[Result]:
    """Writes each product picture's two files: name.png, name_cutout.png, name_2.png and so on."""
    results = []
    for number, product in enumerate(products, 1):
        stem = name if number == 1 else f"{name}_{number}"
        white = save_picture(product, folder / f"{stem}.png")
        cutout = save_picture(cut_out(product), folder / f"{stem}_cutout.png")
        results.append(Result(photo, product, caption, white, cutout))
    return results


def zip_results(results: list[Result], path: Path) -> Path:
    """All pictures and captions.txt in one file."""
    with zipfile.ZipFile(path, "w") as archive:  # stored: PNGs don't get smaller
        for result in results:
            archive.write(result.white, result.white.name)
            archive.write(result.cutout, result.cutout.name)
        lines = [f"{result.white.name}: {result.caption}\n" for result in results]
        archive.writestr("captions.txt", "".join(lines))
    return path

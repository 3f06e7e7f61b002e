"""Tiny datasets in the published layouts, drawn with rectangles: every id has its own colours and garment box."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (48, 64)
DRESSCODE_LABELS = {"upper_body": 4, "lower_body": 5, "dresses": 7}  # lower bodies wear skirts


def garment_box(name: str) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the garment that the person in file `name` wears."""
    left, top = (b % 8 for b in hashlib.sha256(name.split("_")[0].encode()).digest()[:2])
    return left + 8, top + 12, left + 30, top + 40


def _colours(name: str) -> list[tuple[int, int, int]]:
    digest = hashlib.sha256(name.split("_")[0].encode()).digest()
    return [tuple(digest[3 * i : 3 * i + 3]) for i in range(2)]


def draw_person(name: str, size: tuple[int, int] = SIZE) -> Image.Image:
    background, garment = _colours(name)
    image = Image.new("RGB", SIZE, background)
    image.paste(garment, garment_box(name))
    return image.resize(size, Image.Resampling.NEAREST)


def draw_garment(name: str, size: tuple[int, int] = SIZE) -> Image.Image:
    image = Image.new("RGB", SIZE, (255, 255, 255))
    image.paste(_colours(name)[1], (12, 16, 36, 48))
    return image.resize(size, Image.Resampling.NEAREST)


def draw_labels(name: str, label: int, size: tuple[int, int] = SIZE) -> Image.Image:
    labels = np.zeros(SIZE[::-1], np.uint8)
    left, top, right, bottom = garment_box(name)
    labels[4:top, left:right] = 11
    labels[top:bottom, left:right] = label
    image = Image.fromarray(labels).convert("L")
    image.putpalette([i % 256 for i in range(768)])  # as published: class ids with a palette to look at
    return image.resize(size, Image.Resampling.NEAREST)


def write_dresscode(
    root: Path,
    test: int = 4,
    train: int = 2,
    categories: Sequence[str] = ("upper_body", "lower_body", "dresses"),
    size: tuple[int, int] = SIZE,
) -> Path:
    """`test` and `train` items a category; ids are unique, and unpaired lists shift the garments by one."""
    for number, category in enumerate(categories):
        folder = root / category
        (folder / "images").mkdir(parents=True)
        (folder / "label_maps").mkdir()
        ids = [f"{number}{i:05d}" for i in range(test + train)]
        for item_id in ids:
            draw_person(item_id, size).save(folder / "images" / f"{item_id}_0.jpg", quality=95, subsampling=0)
            draw_garment(item_id, size).save(folder / "images" / f"{item_id}_1.jpg", quality=95, subsampling=0)
            draw_labels(item_id, DRESSCODE_LABELS[category], size).save(folder / "label_maps" / f"{item_id}_4.png")
        paired = [f"{i}_0.jpg\t{i}_1.jpg\n" for i in ids]
        unpaired = [f"{a}_0.jpg\t{b}_1.jpg\n" for a, b in zip(ids[:test], [*ids[1:test], ids[0]], strict=True)]
        (folder / "test_pairs_paired.txt").write_text("".join(paired[:test]))
        (folder / "test_pairs_unpaired.txt").write_text("".join(unpaired))
        (folder / "train_pairs.txt").write_text("".join(paired[test:]))
    return root


def write_vitonhd(root: Path, test: int = 4, train: int = 2, size: tuple[int, int] = SIZE) -> Path:
    """`test_pairs.txt` is unpaired and `train_pairs.txt` paired, as published."""
    for phase, count, first in (("test", test, 0), ("train", train, 500)):
        for folder in ("image", "cloth", "image-parse-v3"):
            (root / phase / folder).mkdir(parents=True)
        names = [f"{first + i:05d}_00" for i in range(count)]
        for number, name in enumerate(names):
            draw_person(name, size).save(root / phase / "image" / f"{name}.jpg", quality=95, subsampling=0)
            draw_garment(name, size).save(root / phase / "cloth" / f"{name}.jpg", quality=95, subsampling=0)
            draw_labels(name, 5 + number % 3, size).save(root / phase / "image-parse-v3" / f"{name}.png")
        shift = 1 if phase == "test" else 0
        lines = [f"{name}.jpg {names[(i + shift) % count]}.jpg\n" for i, name in enumerate(names)]
        (root / f"{phase}_pairs.txt").write_text("".join(lines))
    return root

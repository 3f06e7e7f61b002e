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
        ids = [f"{number}{i:05d}" for i in range(test + train)]
        for name in ids:
            person, garment = (f"images/{name}_{i}.jpg" for i in range(2))
            _write_item(folder, name, person, garment, f"label_maps/{name}_4.png", DRESSCODE_LABELS[category], size)
        for order, garments in (("paired", ids[:test]), ("unpaired", _shifted(ids[:test]))):
            _write_pairs(folder / f"test_pairs_{order}.txt", ids, garments, "{}_0.jpg\t{}_1.jpg\n")
        _write_pairs(folder / "train_pairs.txt", ids[test:], ids[test:], "{}_0.jpg\t{}_1.jpg\n")
    return root


def write_vitonhd(root: Path, test: int = 4, train: int = 2, size: tuple[int, int] = SIZE) -> Path:
    """`test_pairs.txt` is unpaired and `train_pairs.txt` paired, as published."""
    for phase, count, first in (("test", test, 0), ("train", train, 500)):
        names = [f"{first + i:05d}_00" for i in range(count)]
        for number, name in enumerate(names):
            person, garment = (f"{folder}/{name}.jpg" for folder in ("image", "cloth"))
            _write_item(root / phase, name, person, garment, f"image-parse-v3/{name}.png", 5 + number % 3, size)
        garments = _shifted(names) if phase == "test" else names
        _write_pairs(root / f"{phase}_pairs.txt", names, garments, "{}.jpg {}.jpg\n")
    return root


def _write_item(
    folder: Path, name: str, person: str, garment: str, label_map: str, label: int, size: tuple[int, int]
) -> None:
    pictures = {person: draw_person(name, size), garment: draw_garment(name, size)}
    pictures[label_map] = draw_labels(name, label, size)
    for place, picture in pictures.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        picture.save(folder / place, quality=95, subsampling=0)


def _write_pairs(path: Path, persons: Sequence[str], garments: Sequence[str], line: str) -> None:
    path.write_text("".join(map(line.format, persons, garments)))


def _shifted(names: list[str]) -> list[str]:
    return [*names[1:], *names[:1]]

"""Drawn people as training data."""

import shutil
from pathlib import Path

import pytest
import torch

from builtin_training import data
from drawn_people.attributes import attributes_from_caption


def test_items_hold_what_was_drawn(items: list[data.Item]) -> None:
    assert [item.category for item in items] == [category for category in data.CATEGORIES for _ in range(3)]
    for item in items:
        assert attributes_from_caption(item.caption) == item.attributes
        assert item.open_photo().size == item.open_product().size == (192, 256)


def test_a_count_is_spread_over_the_categories(drawn_root: Path) -> None:
    assert [item.category for item in data.read_items(drawn_root, "train", 6)] == [
        category for category in data.CATEGORIES for _ in range(2)
    ]


def test_only_the_garment_is_masked(items: list[data.Item]) -> None:
    photos, masked = (data.read_pictures(items, kind) for kind in ("photo", "masked"))
    masks = data.garment_masks(data.read_label_maps(items), items)
    assert (masks.sum(dim=(1, 2)) > 500).all()
    assert (masked.permute(0, 2, 3, 1)[masks] == 128).all()
    assert torch.equal(masked.permute(0, 2, 3, 1)[~masks], photos.permute(0, 2, 3, 1)[~masks])


def test_a_folder_without_drawn_people_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no drawn people.*python -m drawn_people"):
        data.read_items(tmp_path, "train")


@pytest.mark.parametrize("row", ['{"id": ', "[" * 100_000])
def test_a_damaged_truth_file_is_named(drawn_root, tmp_path, row):
    shutil.copytree(drawn_root / "truth", tmp_path / "truth")
    with (tmp_path / "truth" / "train_dresses.jsonl").open("a") as file:
        file.write(row)
    with pytest.raises(ValueError, match=r"train_dresses\.jsonl, line 4 is damaged"):
        data.read_items(tmp_path, "train")

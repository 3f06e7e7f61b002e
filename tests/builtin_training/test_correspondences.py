"""Correspondences: read, mirrored with the pictures, refused where they can't be right."""

from pathlib import Path

import numpy as np
import pytest
import torch

from builtin_training.correspondences import correspondence_path, open_correspondence
from builtin_training.pairs import DrawnPairs, mirrored
from temu_vtoff.training.pairs import open_split
from tests.tiny_training import save_tiny_dresscode


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return save_tiny_dresscode(tmp_path / "data", train=2, test=1)


def opened(root: Path, size: tuple[int, int] = (48, 64)) -> DrawnPairs:
    return DrawnPairs(open_split("dresscode", root, "train", size=size), root / "truth" / "correspondences")


def test_a_sample_holds_its_own_and_a_batch_stacks_them(root: Path) -> None:
    pairs = opened(root)
    samples = [pairs.read(0), pairs.read(1)]
    for sample in samples:
        seen = np.isfinite(sample.coords).all(-1)
        assert sample.coords.shape == (8, 6, 2) and 0 < seen.sum() < seen.size
        x, y = (sample.coords[seen] * sample.person.size).astype(int).T
        photo, product = np.asarray(sample.person, int), np.asarray(sample.garment, int)
        assert np.abs(photo[y, x] - product[4::8, 4::8][seen]).mean() < 10  # the same block at the same place
    assert pairs[range(2)].coords.shape == (2, 8, 6, 2)
    assert DrawnPairs(pairs.dataset)[range(2)].coords is None


def test_mirrored_coordinates_are_those_of_the_mirrored_pictures(root: Path) -> None:
    sample = opened(root).read(0)
    there, back = mirrored(sample), mirrored(mirrored(sample))
    np.testing.assert_allclose(back.coords, sample.coords, atol=1e-6)
    row, column = np.argwhere(np.isfinite(sample.coords).all(-1))[0]
    x, y = sample.coords[row, column]
    np.testing.assert_allclose(there.coords[row, 5 - column], (1 - x, y), atol=1e-6)
    assert there.person.getpixel((47 - int(48 * x), int(64 * y))) == sample.person.getpixel((int(48 * x), int(64 * y)))


def test_mirrored_items_come_after_the_others(root: Path) -> None:
    dataset = open_split("dresscode", root, "train", size=(48, 64))
    pairs, both = DrawnPairs(dataset), DrawnPairs(dataset, with_mirrored=True)
    assert len(both) == 2 * len(pairs)
    plain, flipped = both[range(2)], both[range(len(pairs), len(pairs) + 2)]
    assert [item.id for item in flipped.items] == [item.id for item in plain.items]
    for name in ("person", "garment", "mask", "masked_image"):
        assert torch.equal(getattr(flipped, name), getattr(plain, name).flip(-1))
        assert torch.equal(getattr(pairs[range(2)], name), getattr(plain, name))


def test_pictures_of_other_proportions_are_refused(root: Path) -> None:
    assert opened(root, size=(96, 128)).read(0).coords is not None
    with pytest.raises(ValueError, match="6:8, unlike 64x64"):
        opened(root, size=(64, 64)).read(0)


def test_a_file_that_holds_no_coordinates_is_refused(root: Path) -> None:
    pairs = opened(root)
    path = correspondence_path(pairs.correspondence_dir, pairs.dataset.items[0])
    for content, message in ((np.zeros((8, 6)), "floats"), (np.zeros((8, 6, 2), int), "floats")):
        np.save(path, content)
        with pytest.raises(ValueError, match=message):
            pairs.read(0)
    for broken in (b"", b"no array", path.read_bytes()[:100]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="can't be read"):
            open_correspondence(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="python -m drawn_people --correspondences"):
        pairs.read(0)

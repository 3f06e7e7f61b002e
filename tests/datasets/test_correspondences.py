"""Correspondences: read, mirrored with the pictures, refused where they can't be right."""

from pathlib import Path

import numpy as np
import pytest

from temu_vtoff.datasets import DressCodeDataset, stack_samples
from temu_vtoff.datasets.correspondences import correspondence_path, open_correspondence
from tests.tiny_training import save_tiny_dresscode


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return save_tiny_dresscode(tmp_path / "data", train=2, test=1)


def opened(root: Path, **options) -> DressCodeDataset:
    return DressCodeDataset(root, "train", correspondence_dir=root / "truth" / "correspondences", **options)


def test_a_sample_holds_its_own_and_a_batch_stacks_them(root: Path) -> None:
    data = opened(root, load=("person", "garment"))
    samples = [data[0], data[1]]
    for sample in samples:
        seen = np.isfinite(sample.places).all(-1)
        assert sample.places.shape == (8, 6, 2) and 0 < seen.sum() < seen.size
        x, y = (sample.places[seen] * sample.person.size).astype(int).T
        photo, product = np.asarray(sample.person, int), np.asarray(sample.garment, int)
        assert np.abs(photo[y, x] - product[4::8, 4::8][seen]).mean() < 10  # the same block at the same place
    assert stack_samples(samples).places.shape == (2, 8, 6, 2)
    assert stack_samples([DressCodeDataset(root, "train")[0]]).places is None


def test_mirrored_places_are_those_of_the_mirrored_pictures(root: Path) -> None:
    sample = opened(root, load=("person",))[0]
    there, back = sample.mirrored(), sample.mirrored().mirrored()
    np.testing.assert_allclose(back.places, sample.places, atol=1e-6)
    row, column = np.argwhere(np.isfinite(sample.places).all(-1))[0]
    x, y = sample.places[row, column]
    np.testing.assert_allclose(there.places[row, 5 - column], (1 - x, y), atol=1e-6)
    assert there.person.getpixel((47 - int(48 * x), int(64 * y))) == sample.person.getpixel((int(48 * x), int(64 * y)))


def test_pictures_of_other_proportions_are_refused(root: Path) -> None:
    assert opened(root, width=96, height=128)[0].places is not None
    with pytest.raises(ValueError, match="6:8, unlike 64x64"):
        opened(root, width=64, height=64)[0]


def test_what_is_no_array_of_places_is_told(root: Path) -> None:
    data = opened(root)
    path = correspondence_path(data.correspondence_dir, data.items[0])
    for content, message in ((np.zeros((8, 6)), "floats"), (np.zeros((8, 6, 2), int), "floats")):
        np.save(path, content)
        with pytest.raises(ValueError, match=message):
            data[0]
    for broken in (b"", b"no array", path.read_bytes()[:100]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="can't be read"):
            open_correspondence(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="python -m drawn_people --correspondences"):
        data[0]

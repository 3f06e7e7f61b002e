"""Where the product picture's places are in the photo."""

import numpy as np
import pytest

from drawn_people import CATEGORIES, draw_correspondence, draw_person

LABELS = {"upper_body": (4,), "lower_body": (5, 6), "dresses": (7,)}


def middles(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The pixels in the middle of a grid's cells."""
    rows, columns = (((2 * np.arange(n) + 1) * side) // (2 * n) for n, side in zip(shape, picture.shape, strict=False))
    return picture[np.ix_(rows, columns)]


def at(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The pixels at places (n, 2)."""
    column, row = (places * (picture.shape[1], picture.shape[0])).astype(int).T
    return picture[row, column]


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_photo_shows_the_products_colours_at_its_places(category: str) -> None:
    right, wrong = [], []
    for seed in range(8):
        person = draw_person(seed, category, plain=0)
        places = draw_correspondence(seed, category, plain=0)
        assert places.shape == (32, 24, 2) and places.dtype == np.float32
        photo, product = (np.asarray(x, float) for x in (person.photo, person.garments[category].product))
        seen = np.isfinite(places).all(-1)
        garment = middles(np.asarray(person.garments[category].silhouette), seen.shape) > 0
        assert not (seen & ~garment).any() and seen.sum() > 0.4 * garment.sum()
        assert np.isin(at(np.asarray(person.label_map), places[seen]), LABELS[category]).all()
        wanted, found = middles(product, seen.shape)[seen], at(photo, places[seen])
        right.append(np.abs(wanted - found).mean())
        wrong.append(np.abs(wanted - np.roll(found, len(found) // 3, axis=0)).mean())
    assert np.mean(right) < 25 and np.mean(right) < 0.6 * np.mean(wrong)  # light and shade differ


def test_size_changes_the_resolution_only() -> None:
    small, large = draw_correspondence(3, "dresses"), draw_correspondence(3, "dresses", 384, 512)
    assert large.shape == (64, 48, 2)
    halved = large.reshape(32, 2, 24, 2, 2).mean(axis=(1, 3))
    both = np.isfinite(small).all(-1) & np.isfinite(halved).all(-1)
    assert both.sum() > 50 and np.median(np.abs(small - halved)[both]) < 0.01


def test_mistakes_are_those_of_draw_person() -> None:
    with pytest.raises(ValueError, match="negative"):
        draw_correspondence(-1, "dresses")

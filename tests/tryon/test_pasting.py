"""Pasting back: outside the region every pixel is the photo's, well inside it is the result's."""

import numpy as np
import pytest
from PIL import Image

from temu_vtoff.pictures import fit_picture, mask_doubt, unfit_picture
from temu_vtoff.tryon.pasting import paste_back

FRAME = (64, 96)


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


@pytest.mark.parametrize("size", [(64, 96), (401, 300), (97, 333), (1000, 1000)])
def test_outside_the_region_every_pixel_is_the_photos(size):
    photo = noise(size)
    region = Image.new("L", size)
    region.paste(255, (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2))
    region.paste(255, (0, size[1] // 2, size[0], size[1] * 3 // 4))  # to the edges, with corners inwards
    pasted = np.asarray(paste_back(Image.new("RGB", FRAME, (0, 200, 0)), photo, region))
    inside = np.asarray(region) == 255
    assert pasted.shape == (size[1], size[0], 3)
    assert np.array_equal(pasted[~inside], np.asarray(photo)[~inside])
    middle = pasted[size[1] * 5 // 8, :]
    assert (middle == (0, 200, 0)).all(), "the middle of the region is the result's, to the photo's edge"


def test_the_border_is_soft():
    photo, region = Image.new("RGB", (600, 900)), Image.new("L", (600, 900))
    region.paste(255, (200, 300, 400, 600))
    row = np.asarray(paste_back(Image.new("RGB", FRAME, "white"), photo, region))[450, 195:230, 0].astype(int)
    assert (np.diff(row) >= 0).all() and row[4] == 0 and row[-1] == 255
    assert ((row > 20) & (row < 235)).sum() >= 3


def test_the_result_lies_where_the_photo_was_padded():
    photo = Image.new("RGB", (200, 100), "white")
    photo.paste("red", (40, 20, 120, 70))
    frame = fit_picture(photo, 128, 192)
    back = np.asarray(unfit_picture(frame, photo.size), int)
    assert np.abs(back - np.asarray(photo, int)).mean() < 4
    region = Image.new("L", (200, 100), 255)
    assert mask_doubt(region) is not None
    whole = np.asarray(paste_back(frame, Image.new("RGB", (200, 100)), region), int)
    assert np.abs(whole - np.asarray(photo, int)).mean() < 4

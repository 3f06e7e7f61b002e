"""Wide photos go through the segmenter in windows, which together are the whole photo."""

import numpy as np
import torch

from drawn_people.crowd import draw_crowd
from temu_vtoff.segmentation.people import one_person
from temu_vtoff.segmentation.segmenter import ClothSegmenter
from temu_vtoff.segmentation.windows import cut_windows, join_windows


def test_windows_cover_the_photo_and_only_wide_ones_are_cut():
    for size in ((768, 1024), (100, 100), (3, 3)):
        assert cut_windows(*size) == [(0, size[0])]
    for width, height in ((1025, 1024), (1920, 1080), (4000, 300), (5, 1)):
        windows = cut_windows(width, height)
        own = max(1, round(0.75 * height))
        assert windows[0][0] == 0 and windows[-1][1] == width and {right - left for left, right in windows} == {own}
        steps = np.diff([left for left, _ in windows])
        assert (steps >= 0).all() and (steps <= own / 2 + 1).all()


def test_windows_of_one_picture_join_to_it():
    windows = cut_windows(192, 96)
    own = windows[0][1] - windows[0][0]
    whole = torch.linspace(0, 1, 192).expand(2, 24, 192)
    parts = torch.stack([whole[..., left:right] for left, right in windows])
    assert own == 72 and parts.shape == (5, 2, 24, 72)
    torch.testing.assert_close(join_windows(parts, windows), whole)
    assert torch.equal(join_windows(parts[:1], [(0, own)]), parts[0])


def test_people_side_by_side_are_found():
    segmenter = ClothSegmenter.from_pretrained("builtin")
    crowd = draw_crowd(10**15 + 7, 3)
    upright = crowd.photo.crop((0, 0, 192, 256))
    wide, narrow = segmenter.label_maps([crowd.photo, upright])
    assert wide.shape == crowd.photo.size[::-1] and one_person(wide, segmenter.labels).count == 3
    assert (wide > 0).sum() > 0.9 * (np.asarray(crowd.label_map) > 0).sum()
    assert np.array_equal(narrow, segmenter.label_maps([upright])[0]) and segmenter.label_maps([]) == []

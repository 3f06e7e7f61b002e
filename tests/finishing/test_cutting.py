"""Cutting out: opacity against drawn garments with known alpha, and what models leave around a garment."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from drawn_people.cutouts import draw_cutout
from temu_vtoff.finishing import cut_out
from temu_vtoff.finishing.background import find_background

KINDS = {
    "ivory on white": {"category": "dresses", "color": (253, 251, 243)},
    "black on black": {"category": "upper_body", "color": (26, 26, 30), "background": (0, 0, 0)},
    "white stripes": {"category": "upper_body", "color": (250, 250, 250), "stripes": (40, 60, 120)},
    "lace": {"category": "dresses", "color": (240, 236, 228), "lace": True},
    "straps": {"category": "dresses", "color": (160, 40, 60), "straps": True},
    "touching": {"category": "upper_body", "color": (60, 60, 90), "touching": True, "background": (200, 220, 180)},
    "grey meant to be white": {"category": "dresses", "color": (120, 90, 60), "background": (244, 244, 243)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_opacity_of_drawn_garments(kind):
    for seed in range(8):
        drawn = draw_cutout(seed, **KINDS[kind])
        alpha = cut_out(drawn.picture).alpha
        assert np.abs(alpha - drawn.alpha).mean() < 0.01, seed
        assert alpha[drawn.alpha == 0].max() <= 0.02, seed


@pytest.mark.parametrize("kind", ["ivory on white", "white stripes", "straps", "touching"])
def test_the_same_at_four_times_the_pixels(kind):
    drawn = draw_cutout(2, width=384, height=512, **KINDS[kind])
    alpha = cut_out(drawn.picture).alpha
    assert np.abs(alpha - drawn.alpha).mean() < 0.003 and alpha[drawn.alpha == 0].max() <= 0.02


def test_colours_at_the_edge_are_the_garments_own_and_not_mixed_with_the_background():
    drawn = draw_cutout(1, "dresses", color=(150, 30, 40))
    cut = cut_out(drawn.picture)
    edge = (drawn.alpha > 0.05) & (drawn.alpha < 0.6)
    mixed = np.abs(np.asarray(drawn.picture, float) - drawn.color)[edge].mean()
    assert np.abs(cut.colours - drawn.color)[edge].mean() < mixed / 5
    on_black = Image.alpha_composite(Image.new("RGBA", drawn.picture.size, "black"), cut.image())
    assert np.asarray(on_black.convert("L"))[edge].max() < 110  # no white fringe


def test_back_on_its_background_the_picture_is_the_same():
    drawn = draw_cutout(3, "upper_body", color=(90, 120, 60))
    cut = cut_out(drawn.picture)
    alpha = cut.alpha[..., None]
    again = alpha * cut.colours + (1 - alpha) * cut.background.colours
    assert np.abs(again - np.asarray(drawn.picture, float)).mean() < 0.3


@pytest.mark.parametrize("kind", ["ivory on white", "straps", "grey meant to be white"])
def test_noise_of_a_model_is_no_garment(kind):
    drawn = draw_cutout(4, **KINDS[kind])
    noise = np.random.default_rng(0).normal(0, 0.8, (256, 192, 3))
    noisy = Image.fromarray((np.asarray(drawn.picture) + noise).round().clip(0, 255).astype(np.uint8))
    alpha = cut_out(noisy).alpha
    assert np.abs(alpha - drawn.alpha).mean() < 0.01
    assert (alpha[drawn.alpha == 0] > 0.02).mean() < 0.001


def test_the_haze_that_jpeg_leaves_around_a_garment_is_no_garment(tmp_path):
    drawn = draw_cutout(5, "dresses", color=(30, 30, 120))
    drawn.picture.save(tmp_path / "garment.jpg", quality=80)
    alpha = cut_out(Image.open(tmp_path / "garment.jpg")).alpha
    away = ndimage.distance_transform_edt(drawn.alpha == 0) > 3
    assert np.abs(alpha - drawn.alpha).mean() < 0.005 and alpha[away].max() <= 0.02


def test_a_background_that_grows_darker_evenly_is_followed():
    drawn = draw_cutout(6, "dresses", color=(60, 30, 30))
    shade = np.linspace(0, 14, 256)[:, None, None]
    darker = (np.asarray(drawn.picture) - (1 - drawn.alpha[..., None]) * shade).round().clip(0, 255).astype(np.uint8)
    background = find_background(darker.astype(np.float32))
    assert background.colours[0].mean() == pytest.approx(255, abs=1)
    assert background.colours[-1].mean() == pytest.approx(241, abs=1)
    assert np.abs(cut_out(Image.fromarray(darker)).alpha - drawn.alpha).mean() < 0.01


def test_a_picture_without_a_garment_is_transparent():
    cut = cut_out(Image.new("RGB", (40, 60), (244, 244, 244)))
    assert cut.alpha.max() == 0 and cut.background.mean == (244, 244, 244) and cut.background.share == 1


def test_one_colour_that_fills_the_frame_partly_is_found_beside_shaded_cloth():
    assert find_background(np.asarray(draw_cutout(7, **KINDS["touching"]).picture)).mean == (200, 220, 180)

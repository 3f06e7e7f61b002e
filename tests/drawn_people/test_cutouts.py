import numpy as np
import pytest
from scipy import ndimage

from drawn_people.cutouts import draw_cutout

WHITE = (255.0, 255.0, 255.0)
KINDS = {
    "ivory on white": {"category": "dresses", "color": (246, 242, 230)},
    "black on black": {"category": "upper_body", "color": (26, 26, 30), "background": (0, 0, 0)},
    "white stripes": {"category": "upper_body", "color": (250, 250, 250), "stripes": (40, 60, 120)},
    "lace": {"category": "dresses", "color": (240, 236, 228), "lace": True},
    "straps": {"category": "dresses", "color": (160, 40, 60), "straps": True},
    "touching": {"category": "lower_body", "color": (60, 60, 90), "touching": True, "background": (200, 220, 180)},
}


def enclosed(alpha: np.ndarray) -> int:
    """Number of background areas that the border doesn't reach."""
    areas, count = ndimage.label(alpha < 0.02)
    at_border = {*areas[0], *areas[-1], *areas[:, 0], *areas[:, -1]} - {0}
    return count - len(at_border)


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_is_the_garment_over_its_background(kind: str) -> None:
    cutout = draw_cutout(3, **KINDS[kind])
    alpha, ground = cutout.alpha[..., None], np.array(KINDS[kind].get("background", WHITE))
    assert cutout.alpha.shape == (256, 192) and cutout.alpha.dtype == np.float32
    assert 0.05 < cutout.alpha.mean() < 0.9 and cutout.alpha.min() == 0 and cutout.alpha.max() == 1
    expected = alpha * cutout.color + (1 - alpha) * ground
    np.testing.assert_allclose(np.asarray(cutout.picture), expected, atol=1.6)
    assert (np.asarray(cutout.picture)[cutout.alpha == 0] == ground).all()
    soft = (cutout.alpha > 0.02) & (cutout.alpha < 0.98)
    assert 0.001 < soft.mean() < 0.12  # an edge is about a pixel wide


def test_the_background_changes_nothing_else() -> None:
    first, second = (draw_cutout(3, "dresses", color=(90, 60, 60), background=c) for c in (WHITE, (10, 200, 90)))
    np.testing.assert_array_equal(first.alpha, second.alpha)
    inside = first.alpha == 1
    np.testing.assert_array_equal(np.asarray(first.picture)[inside], np.asarray(second.picture)[inside])


def test_lace_and_straps_have_holes_and_the_frame_cuts_what_touches_it() -> None:
    assert enclosed(draw_cutout(3, **KINDS["ivory on white"]).alpha) == 0
    assert enclosed(draw_cutout(3, **KINDS["lace"]).alpha) > 60
    assert enclosed(draw_cutout(3, **KINDS["straps"]).alpha) == 1
    alpha = draw_cutout(3, **KINDS["touching"]).alpha
    assert max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) > 0.99
    whole = draw_cutout(3, **(KINDS["touching"] | {"touching": False})).alpha
    assert whole[0].max() == whole[-1].max() == whole[:, 0].max() == whole[:, -1].max() == 0


def test_straps_hold_dresses_only() -> None:
    with pytest.raises(ValueError, match="straps hold dresses only; category is 'upper_body'"):
        draw_cutout(0, "upper_body", color=(1, 2, 3), straps=True)

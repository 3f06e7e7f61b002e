"""Finished pictures: backgrounds, margins to the pixel, canvases, and options that contradict each other."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from temu_vtoff.errors import ArgumentError
from temu_vtoff.finishing import Finish, finish_picture


@pytest.fixture
def product() -> Image.Image:
    """A red rectangle of 60x100 pixels, away from the middle, on what should be white."""
    picture = Image.new("RGB", (192, 256), (244, 244, 243))
    ImageDraw.Draw(picture).rectangle((20, 30, 79, 129), (180, 30, 40))
    return picture


def box_of(picture: Image.Image, background=(255, 255, 255)) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what isn't exactly the background."""
    pixels = np.asarray(picture.getchannel("A") if picture.mode == "RGBA" else picture)
    shown = pixels > 0 if picture.mode == "RGBA" else (pixels != background).any(-1)
    return Image.fromarray(shown).getbbox()


def test_white_is_255_in_every_pixel_of_the_background(product):
    finished = finish_picture(product, Finish(background="white"))
    assert finished.mode == "RGB" and finished.size == product.size and box_of(finished) == (20, 30, 80, 130)


def test_any_colour_and_no_background(product):
    coloured = finish_picture(product, Finish(background="#203040"))
    assert coloured.getpixel((0, 0)) == (0x20, 0x30, 0x40) and coloured.getpixel((50, 60)) == (180, 30, 40)
    clear = finish_picture(product, Finish(background="transparent"))
    assert clear.mode == "RGBA" and box_of(clear) == (20, 30, 80, 130)
    assert finish_picture(product, Finish()).tobytes() == product.tobytes()


def test_trimming_and_margins_without_a_canvas(product):
    assert finish_picture(product, Finish(trim=True)).size == (60, 100)
    framed = finish_picture(product, Finish(background="white", margin="7"))
    assert framed.size == (74, 114) and box_of(framed) == (7, 7, 67, 107)
    framed = finish_picture(product, Finish(background="white", margin="10%"))
    assert framed.size == (76, 116) and box_of(framed) == (8, 8, 68, 108)  # 10% of 76


@pytest.mark.parametrize("background", ["white", "transparent"])
@pytest.mark.parametrize("canvas", ["600x800", "800x600", "300x301"])
def test_margins_on_a_canvas_are_right_to_one_pixel(product, canvas, background):
    finished = finish_picture(product, Finish(background=background, margin="8%", canvas=canvas))
    width, height = map(int, canvas.split("x"))
    assert finished.size == (width, height)
    margin = round(0.08 * min(width, height))
    left, top, right, bottom = box_of(finished)
    assert abs(top - margin) <= 1 and abs(height - bottom - margin) <= 1
    assert abs(left - (width - right)) <= 1 and left >= margin
    assert (right - left) / (bottom - top) == pytest.approx(0.6, abs=0.01)


def test_a_garment_hangs_from_the_top_margin(product):
    wide = product.rotate(90, expand=True, fillcolor=(244, 244, 243))
    finish = Finish(background="white", margin="20", canvas="400x800", align="top")
    left, top, right, bottom = box_of(finish_picture(wide, finish))
    assert abs(top - 20) <= 1 and abs(left - 20) <= 1 and abs(right - 380) <= 1 and bottom < 300


def test_the_photos_own_size_and_the_models_own_background(product):
    finished = finish_picture(product, Finish(keep_size=True), photo_size=(900, 600))
    assert finished.size == (900, 600)
    pixels = np.asarray(finished).astype(int)
    assert np.abs(pixels[:, [0, -1]] - (244, 244, 243)).max() <= 1
    framed = finish_picture(product, Finish(margin="10", canvas="120x120"))
    assert framed.size == (120, 120) and framed.getpixel((0, 0)) == (244, 244, 243)


def test_an_empty_picture_is_framed_whole():
    empty = Image.new("RGB", (64, 96), (250, 250, 250))
    assert finish_picture(empty, Finish(background="white", margin="5%", canvas="100x100")).size == (100, 100)


def test_enlarging_is_part_of_the_one_resampling(product):
    assert finish_picture(product, Finish(upscale=3)).size == (576, 768)
    assert finish_picture(product, Finish(background="white", upscale=2, margin="5")).size == (130, 210)


def test_nothing_of_the_photos_metadata_is_kept(product, tmp_path):
    product.info = {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0", "icc_profile": b"x" * 200}
    for name in ("png", "jpg", "webp"):
        finish = Finish(background="white", output_format=name)
        path = tmp_path / f"a{finish.suffix}"
        finish_picture(product, finish).save(path, **finish.save_options())
        with Image.open(path) as picture:
            assert not picture.getexif() and "icc_profile" not in picture.info


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"background": "blue"}, "background"),
        ({"background": "#12345"}, "background"),
        ({"background": "transparent", "output_format": "jpg"}, "output_format"),
        ({"margin": "a lot"}, "margin"),
        ({"margin": "50%"}, "margin"),
        ({"margin": "80", "canvas": "100x160"}, "margin"),
        ({"canvas": "1200"}, "canvas"),
        ({"canvas": "0x100"}, "canvas"),
        ({"canvas": "20000x100"}, "canvas"),
        ({"canvas": "100x100", "keep_size": True}, "keep_size"),
        ({"align": "bottom"}, "align"),
        ({"align": "top"}, "align"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_format": "jpg", "quality": 0}, "quality"),
        ({"quality": 80}, "quality"),
        ({"upscale": 9}, "upscale"),
        ({"upscaler": "somebody/model"}, "upscaler"),
    ],
)
def test_contradictions_are_refused(options, argument):
    with pytest.raises(ArgumentError) as refused:
        Finish(**options)
    assert refused.value.argument == argument

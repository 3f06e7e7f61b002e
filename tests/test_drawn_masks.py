"""Masks as people make them, and masks between a photo's size and the model's."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from temu_vtoff.pictures import fit_picture, mask_doubt, open_mask, to_mask, unfit_mask

CASES = Path(__file__).parent / "cases"
EXAMPLE = Path(__file__).parent.parent / "examples"
SHAPE = Image.open(EXAMPLE / "outputs" / "example1_binary_mask.png").convert("L")
INSIDE = np.asarray(SHAPE) > 0
BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (230, 30, 30)


def painted(inside, outside) -> Image.Image:
    """The example's mask in two colours, RGB or RGBA."""
    return Image.fromarray(np.where(INSIDE[..., None], np.uint8(inside), np.uint8(outside)))


def photo() -> Image.Image:
    return Image.open(EXAMPLE / "example1.jpg").resize(SHAPE.size)


def with_alpha(alpha: np.ndarray) -> Image.Image:
    picture = photo().convert("RGBA")
    picture.putalpha(Image.fromarray(np.where(alpha, 255, 0).astype(np.uint8)))
    return picture


@pytest.mark.parametrize(
    "mask",
    [
        painted(WHITE, BLACK),
        painted(RED, BLACK),
        painted(RED, WHITE),
        painted((1, 1, 1), BLACK).convert("L"),
        painted((128, 128, 128), BLACK).convert("L"),
        SHAPE.convert("1"),
        Image.fromarray(INSIDE.astype(np.uint16) * 65535),
        Image.fromarray(INSIDE.astype(np.float32)),
        painted((*WHITE, 255), (*WHITE, 0)),
        painted((*RED, 255), (*BLACK, 0)),
        painted((*BLACK, 255), (*WHITE, 0)),
        painted((*RED, 100), (*BLACK, 0)),
        painted((*WHITE, 255), (*BLACK, 255)),
        painted((*WHITE, 128), (*BLACK, 128)),
        painted(RED, WHITE).quantize(4),
        with_alpha(~INSIDE),
        with_alpha(INSIDE),
    ],
    ids=lambda mask: f"{mask.mode} {mask.getpixel((0, 0))}",
)
def test_the_marked_part_is_the_mask_however_it_is_drawn(mask, tmp_path):
    for picture in (mask, save(mask, tmp_path)):
        found = to_mask(picture)
        assert found.mode == "L" and np.array_equal(np.asarray(found), INSIDE * 255)


def save(picture: Image.Image, folder: Path) -> Path:
    path = folder / ("mask.tif" if picture.mode == "F" else "mask.png")
    picture.save(path)
    return path


def test_a_white_mask_on_a_transparent_layer():
    path = CASES / "masks" / "white_on_transparent.png"
    expected = np.asarray(Image.open(path).getchannel("A")) > 127
    assert 0.1 < expected.mean() < 0.3
    assert np.array_equal(np.asarray(to_mask(path)) > 0, expected)
    assert open_mask(path, Image.new("RGB", (768, 1024))).size == (768, 1024)


def test_a_transparent_frame_around_black_and_white_stays_outside():
    mask = painted((*WHITE, 255), (*BLACK, 255))
    mask.paste((0, 0, 0, 0), (0, 0, mask.width, 20))
    assert np.array_equal(np.asarray(to_mask(mask)) > 0, INSIDE)


def test_masks_saved_as_jpeg_keep_their_shape(tmp_path):
    for colors in ((WHITE, BLACK), (RED, BLACK), (RED, WHITE)):
        painted(*colors).save(tmp_path / "mask.jpg", quality=60)
        assert ((np.asarray(to_mask(tmp_path / "mask.jpg")) > 0) != INSIDE).mean() < 0.01


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_photo_is_no_mask(mode, tmp_path):
    photo().convert(mode).save(tmp_path / "photo.png")
    with pytest.raises(ValueError, match=r"the mask .*photo\.png is a photo"):
        open_mask(tmp_path / "photo.png", photo())
    with pytest.raises(ValueError, match="the mask is a photo"):
        to_mask(photo().convert(mode))


def test_a_mask_of_nearly_everything_is_warned_about(caplog, tmp_path):
    Image.new("L", (60, 80), 255).save(tmp_path / "all.png")
    mask = open_mask(tmp_path / "all.png", Image.new("RGB", (60, 80)))
    assert mask.getextrema() == (255, 255)
    assert "all.png covers 100% of the picture: only the garment should be white in it." in caplog.text
    assert mask_doubt(mask) and mask_doubt(SHAPE) is None


def test_an_inverted_mask_is_warned_about(caplog):
    inverted = Image.eval(SHAPE, lambda level: 255 - level)
    assert np.array_equal(np.asarray(open_mask(inverted)) == 0, INSIDE)
    assert "the mask is white at all edges of the picture: is it inverted?" in caplog.text


def test_a_turned_mask_is_turned_as_its_photo_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    SHAPE.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(np.asarray(to_mask(tmp_path / "turned.png")) > 0, INSIDE)


def test_a_mask_must_fit_its_photo():
    photo = Image.new("RGB", (60, 80))
    mask = Image.new("RGB", (30, 40))
    with pytest.raises(ValueError, match="black all over"):
        open_mask(mask, photo)
    mask.paste((255, 255, 255), (0, 0, 10, 10))
    opened = open_mask(mask, photo)
    assert opened.size == (60, 80) and opened.mode == "L" and opened.getbbox() == (0, 0, 20, 20)
    with pytest.raises(ValueError, match="mask is 30x40, the photo 80x60"):
        open_mask(mask, Image.new("RGB", (80, 60)))


@pytest.mark.parametrize("size", [(90, 120), (120, 90), (37, 211)])
def test_unfit_mask_undoes_padding(size):
    mask = Image.new("L", size)
    mask.paste(255, (size[0] // 3, 0, size[0], size[1] // 2))
    padded = fit_picture(mask, 192, 256, fill=0, resample=Image.Resampling.NEAREST)
    same = np.asarray(unfit_mask(padded, size)) == np.asarray(mask)
    assert same.mean() > 0.98

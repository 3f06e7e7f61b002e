"""Opening any picture, fitting it, naming and writing results."""

import numpy as np
import pytest
from PIL import Image

from temu_vtoff.pictures import (
    find_pictures,
    fit_picture,
    is_whole_picture,
    list_pictures,
    open_mask,
    open_picture,
    panel,
    save_picture,
    unique_stems,
)

LEFT_RED = Image.new("RGB", (60, 40), "white")
LEFT_RED.paste((255, 0, 0), (0, 0, 20, 40))


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated clockwise
    LEFT_RED.save(tmp_path / "turned.jpg", exif=exif, quality=100, subsampling=0)
    upright = open_picture(tmp_path / "turned.jpg")
    assert upright.size == (40, 60)
    top, bottom = np.asarray(upright)[5, 20], np.asarray(upright)[55, 20]
    assert top[1] < 60 and bottom[1] > 200  # left became top


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK", "LA", "I;16", "F"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    if mode == "I;16":
        picture = Image.fromarray(np.full((8, 8), 65535, np.uint16))
    elif mode == "F":
        picture = Image.fromarray(np.full((8, 8), 255.0, np.float32))
    else:
        picture = Image.new("RGB", (8, 8), "white").convert(mode)
    path = tmp_path / "picture.tif"
    picture.save(path)
    assert open_picture(path).mode == "RGB"
    assert np.asarray(open_picture(path)).min() >= 250
    assert np.asarray(open_picture(picture)).min() >= 250


def test_transparent_parts_are_white():
    assert open_picture(Image.new("RGBA", (4, 4), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_unreadable_pictures_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no picture at .*gone\.png"):
        open_picture(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"text\.png can't be read as a picture"):
        open_picture(tmp_path / "text.png")
    LEFT_RED.save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.png can't be read"):
        open_picture(tmp_path / "cut.png")


def test_fitting_pads_crops_or_stretches():
    padded, cropped, stretched = (fit_picture(LEFT_RED, 30, 40, mode) for mode in ("pad", "crop", "stretch"))
    assert {p.size for p in (padded, cropped, stretched)} == {(30, 40)}
    assert np.asarray(padded)[:9].min() == 255 and np.asarray(padded)[20, 2, 1] < 30  # bars above, red at the left
    assert np.asarray(cropped)[20, 2, 1] < 30 and np.asarray(cropped)[20, 12, 1] > 200  # the outer 15 columns are gone
    assert np.asarray(stretched)[20, 7, 1] < 30 and np.asarray(stretched)[20, 13, 1] > 200
    with pytest.raises(ValueError, match="resize mode is 'zoom'"):
        fit_picture(LEFT_RED, 30, 40, "zoom")


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


def test_folders_are_listed_and_names_kept_apart(tmp_path):
    for name in ("b.jpg", "a.png", ".hidden.png", "notes.txt", "sub/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in list_pictures(tmp_path)] == ["a.png", "b.jpg"]
    assert [p.name for p in list_pictures(tmp_path, recursive=True)] == ["a.png", "b.jpg", "c.png"]
    assert find_pictures([tmp_path, "gone.png"])[-1].name == "gone.png"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no pictures in the folder"):
        find_pictures([tmp_path / "empty"])
    paths = [*find_pictures([tmp_path]), tmp_path / "a.jpg", tmp_path / "sub" / "a.jpg"]
    assert unique_stems(paths) == ["a_png", "b", "a_jpg", "a_jpg_2"]
    paths.append(tmp_path / "a_jpg_2.png")
    assert len(set(unique_stems(paths))) == len(paths)


def test_a_failed_write_leaves_nothing(tmp_path):
    save_picture(LEFT_RED, tmp_path / "done.png")
    assert Image.open(tmp_path / "done.png").size == LEFT_RED.size
    with pytest.raises(OSError):
        save_picture(LEFT_RED.convert("RGBA"), tmp_path / "bad.jpg")
    assert [p.name for p in tmp_path.iterdir()] == ["done.png"]


def test_panel_holds_all_pictures_and_the_caption():
    pictures = [Image.new("RGB", (48, 64), color) for color in ("red", "green", "blue")]
    plain, captioned = panel(pictures), panel(pictures, "a t-shirt with crew neckline " * 4)
    assert plain.size == (3 * 48 + 4 * 8, 64 + 16)
    assert captioned.width == plain.width and captioned.height > plain.height + 16
    below = np.asarray(captioned.convert("L"))[plain.height :]
    assert below.min() < 100 < below.max()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif", ".gif"])
def test_a_file_that_is_empty_or_cut_is_not_whole(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    assert is_whole_picture(path)
    for length in (0, 1, 20, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        if suffix != ".gif" or length < len(data) - 1:  # the last byte of a GIF says nothing
            assert not is_whole_picture(path), length
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))  # the length is right, the end zero
    if suffix in (".png", ".jpg"):
        assert not is_whole_picture(path)
    assert not is_whole_picture(tmp_path / "gone.png") and not is_whole_picture(tmp_path)

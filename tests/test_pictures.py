"""Opening any picture, fitting it, naming and writing results."""

import io
import logging
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from temu_vtoff.files import read_text, write_text
from temu_vtoff.pictures import (
    find_pictures,
    fit_picture,
    folders,
    is_whole_picture,
    list_pictures,
    open_picture,
    panel,
    save_picture,
    unique_stems,
)
from temu_vtoff.pictures.formats import is_readable

CASES = Path(__file__).parent / "cases"
EXAMPLE = Path(__file__).parent.parent / "examples"
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


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 1.05), (-0.02, 1), (0, 255), (0, 4095), (0, 65535), (-1, 1), (0, 1e6)]
)
def test_float_greys_are_scaled_by_their_range(tmp_path, low, high):
    grey = np.linspace(low, high, 64 * 48, dtype=np.float32).reshape(48, 64)
    Image.fromarray(grey).save(tmp_path / "float.tif")
    found = np.asarray(open_picture(tmp_path / "float.tif"))[..., 0]
    assert found[0, 0] == 0 and found[-1, -1] == 255 and abs(int(found[24, 0]) - 127) < 9


def test_values_that_are_not_finite_are_black_and_nothing_but_them_is_refused(tmp_path):
    grey = np.linspace(0, 1, 64 * 48, dtype=np.float32).reshape(48, 64)
    grey[:4], grey[4:8] = np.nan, np.inf
    Image.fromarray(grey).save(tmp_path / "some.tif")
    found = np.asarray(open_picture(tmp_path / "some.tif"))[..., 0]
    assert found[:8].max() < 50 and found[-1, -1] == 255
    Image.fromarray(grey[:4]).save(tmp_path / "none.tif")
    with pytest.raises(ValueError, match=r"none\.tif can't be read as a picture: none of its values is finite"):
        open_picture(tmp_path / "none.tif")


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


def test_odd_exif_tags_leave_the_orientation():
    with Image.open(CASES / "exif_type" / "photo.jpg") as stored:  # its Make is a number: Pillow can't write that
        assert stored.size == (384, 512)
        assert open_picture(stored).size == (512, 384)
    assert open_picture(CASES / "exif_type" / "photo.jpg").size == (512, 384)


def test_a_damaged_entry_of_exif_does_not_hide_the_orientation_after_it():
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6
    block = bytearray(exif.tobytes())
    block[20] = 255  # the first byte of the maker's length: Pillow gives up there
    data = io.BytesIO()
    LEFT_RED.save(data, "JPEG", exif=bytes(block))
    assert open_picture(Image.open(data)).size == (40, 60)


def test_small_mutations_of_exif_never_fail(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0131] = 6, "maker", "program"
    LEFT_RED.save(tmp_path / "turned.jpg", exif=exif)
    data = (tmp_path / "turned.jpg").read_bytes()
    start = data.index(b"Exif")
    rng = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(data)
        for place in rng.integers(start + 6, start + len(exif.tobytes()), 3):
            changed[place] = rng.integers(256)
        (tmp_path / "changed.jpg").write_bytes(changed)
        assert sorted(open_picture(tmp_path / "changed.jpg").size) == [40, 60]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif", "gif", "bmp", "tif", "jp2", "ico", "ppm", "tga"])
def test_a_damaged_file_of_any_format_is_one_sentence_with_its_name(tmp_path, suffix):
    path, rng = tmp_path / f"picture.{suffix}", np.random.default_rng(0)
    Image.open(EXAMPLE / "example1.jpg").resize((48, 64)).save(path)
    data, failed = path.read_bytes(), 0
    for kind in ["empty"] + ["cut"] * 10 + ["changed"] * 20:
        changed = bytearray() if kind == "empty" else bytearray(data)
        if kind == "cut":
            del changed[rng.integers(len(data)) :]
        elif kind == "changed":
            changed[rng.integers(min(100, len(data)))] = rng.integers(256)
        path.write_bytes(changed)
        try:
            assert open_picture(path).mode == "RGB"
        except ValueError as error:
            failed += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert failed


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    LEFT_RED.save(tmp_path / "bomb.png")
    with pytest.raises(ValueError, match=r"bomb\.png can't be read as a picture: .*decompression bomb"):
        open_picture(tmp_path / "bomb.png")


def test_damaged_pictures_that_callers_opened_are_named(tmp_path):
    LEFT_RED.save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-40])
    with Image.open(tmp_path / "cut.png") as stored, pytest.raises(ValueError, match=r"cut\.png can't be read"):
        open_picture(stored)
    with pytest.raises(ValueError, match="the picture can't be read as a picture: it has 0x3 pixels"):
        open_picture(Image.new("RGB", (0, 3)))


def test_a_strip_is_no_photo(tmp_path):
    Image.new("RGB", (1, 3000)).save(tmp_path / "strip.png")
    with pytest.raises(ValueError, match=r"strip\.png is 1x3000 pixels: one side may be at most 100 times the other"):
        open_picture(tmp_path / "strip.png")
    with pytest.raises(ValueError, match="a picture of 1x90 pixels is too narrow for 30x40"):
        fit_picture(Image.new("RGB", (1, 90)), 30, 40)


def delta_e(a: tuple, b: tuple) -> float:
    import torch

    from temu_vtoff.metrics.color_error import rgb_to_lab

    lab = [rgb_to_lab(torch.tensor(color, dtype=torch.float32).reshape(1, 3, 1, 1) / 255) for color in (a, b)]
    return (lab[0] - lab[1]).norm().item()


def test_embedded_profiles_are_converted():
    with Image.open(CASES / "photo_display_p3.jpg") as stored:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(stored.info["icc_profile"]))
        right = ImageCms.profileToProfile(stored, profile, ImageCms.createProfile("sRGB"))
        plain = stored.convert("RGB")
    opened = open_picture(CASES / "photo_display_p3.jpg")
    mean = [tuple(np.asarray(picture).mean((0, 1))) for picture in (opened, right, plain)]
    assert delta_e(mean[0], mean[1]) < 0.1 < 2 < delta_e(mean[2], mean[1])
    assert open_picture(opened) == opened  # converted once


def test_srgb_and_broken_profiles_change_nothing(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    for number, profile in enumerate(
        (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"no profile", b"")
    ):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png", icc_profile=profile)
        assert np.array_equal(open_picture(tmp_path / f"{number}.png"), pixels)


def write_png(path, size, depth, colour_type, rows, clear):
    """A PNG by hand, because Pillow writes no low depths with a transparent colour, and no 16-bit colours."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0),
        b"tRNS": clear,
        b"IDAT": zlib.compress(b"".join(b"\0" + row for row in rows)),
        b"IEND": b"",
    }
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def test_a_transparent_colour_is_white(tmp_path):
    expected = np.asarray(open_picture(CASES / "trns" / "rgba.png"))
    assert np.array_equal(open_picture(CASES / "trns" / "rgb_trns.png"), expected)
    with Image.open(CASES / "trns" / "l_trns.png") as stored:
        grey, clear = np.asarray(stored), stored.info["transparency"]
    assert (grey == clear).any() and clear < 255
    assert np.array_equal(open_picture(CASES / "trns" / "l_trns.png").convert("L"), np.where(grey == clear, 255, grey))
    for name, arguments, first in (
        ("grey of 4 bits", (4, 0, [bytes([0x3F])], struct.pack(">H", 3)), (255, 255, 255)),
        ("grey of 1 bit", (1, 0, [bytes([0b01000000])], struct.pack(">H", 0)), (255, 255, 255)),
        ("grey of 16 bits", (16, 0, [struct.pack(">HH", 9, 65535)], struct.pack(">H", 9)), (255, 255, 255)),
        (
            "colours of 16 bits",
            (16, 2, [struct.pack(">6H", *[999] * 3, *[65535] * 3)], struct.pack(">3H", *[999] * 3)),
            (255,) * 3,
        ),
    ):
        write_png(tmp_path / "clear.png", (2, 1), *arguments)
        assert open_picture(tmp_path / "clear.png").getpixel((0, 0)) == first, name
        assert open_picture(tmp_path / "clear.png").getpixel((1, 0)) == (255, 255, 255), name


@pytest.mark.parametrize(
    ("greys", "levels"),
    [
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 100, 255]], np.float32), [0, 100, 255]),
        (np.array([[-1, 0, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, np.nan, 1]], np.float32), [0, 0, 255]),
        (np.array([[0, 2**30, 2**31 - 1]], np.int32), [0, 128, 255]),
        (np.array([[0, 32896, 65535]], np.int32), [0, 128, 255]),
        (np.array([[0, 32896, 65535]], np.uint16), [0, 128, 255]),
    ],
)
def test_deep_greys_are_scaled_by_their_range(greys, levels):
    opened = open_picture(Image.fromarray(greys))
    assert [opened.getpixel((x, 0)) for x in range(3)] == [(level,) * 3 for level in levels]


def test_fitting_pads_crops_or_stretches():
    padded, cropped, stretched = (fit_picture(LEFT_RED, 30, 40, mode) for mode in ("pad", "crop", "stretch"))
    assert {p.size for p in (padded, cropped, stretched)} == {(30, 40)}
    assert np.asarray(padded)[:9].min() == 255 and np.asarray(padded)[20, 2, 1] < 30  # bars above, red at the left
    assert np.asarray(cropped)[20, 2, 1] < 30 and np.asarray(cropped)[20, 12, 1] > 200  # the outer 15 columns are gone
    assert np.asarray(stretched)[20, 7, 1] < 30 and np.asarray(stretched)[20, 13, 1] > 200
    with pytest.raises(ValueError, match="resize_mode is 'zoom'"):
        fit_picture(LEFT_RED, 30, 40, "zoom")


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


def test_links_to_folders_are_followed_and_loops_noticed(tmp_path):
    (tmp_path / "photos" / "more").mkdir(parents=True)
    LEFT_RED.save(tmp_path / "photos" / "more" / "a.png")
    (tmp_path / "elsewhere").mkdir()
    LEFT_RED.save(tmp_path / "elsewhere" / "b.png")
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "more" / "up").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "itself").symlink_to("itself")
    (tmp_path / "photos" / "gone.png").symlink_to("nowhere.png")
    found = list_pictures(tmp_path / "photos", recursive=True)
    assert [path.relative_to(tmp_path / "photos").as_posix() for path in found] == ["link/b.png", "more/a.png"]
    with pytest.raises(ValueError, match=r"the folder .*nowhere can't be read"):
        list_pictures(tmp_path / "nowhere")


def test_every_format_is_listed_or_left_out_by_name(tmp_path, monkeypatch, caplog):
    for name in ("a.jfif", "b.gif", "c.avif", "d.HEIC", "e.TIFF"):
        (tmp_path / name).touch()
    monkeypatch.setattr(folders, "is_readable", lambda suffix: suffix != ".HEIC")
    with caplog.at_level(logging.WARNING):
        assert [path.name for path in list_pictures(tmp_path)] == ["a.jfif", "b.gif", "c.avif", "e.TIFF"]
    assert "left out, because Pillow can't read them (for HEIC files install pillow-heif" in caplog.text
    assert "d.HEIC" in caplog.text
    assert is_readable(".jfif") and is_readable(".GIF") and not is_readable(".txt")


@pytest.mark.skipif(is_readable(".heic"), reason="pillow-heif is installed")
def test_a_heic_file_without_its_plugin_says_what_to_install(tmp_path):
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    with pytest.raises(ValueError, match=r"photo\.heic can't be read as a picture: .*install pillow-heif"):
        open_picture(tmp_path / "photo.heic")


def test_results_of_an_earlier_run_are_no_photos(tmp_path):
    for name in ("a.jpg", "a_output.png", "a_output_2.png", "a_binary_mask.png", "a_fine_mask.png", "a_panel.png"):
        LEFT_RED.save(tmp_path / name)
    LEFT_RED.save(tmp_path / "b_dresses_output.png")
    assert [path.name for path in find_pictures([tmp_path])] == ["a.jpg"]
    assert len(list_pictures(tmp_path)) == 7
    assert find_pictures([tmp_path / "a_output.png"]) == [tmp_path / "a_output.png"]  # named on purpose


def test_names_that_some_file_systems_take_for_one_are_kept_apart():
    composed, decomposed = "caf\u00e9.jpg", "cafe\u0301.jpg"
    stems = unique_stems([Path(name) for name in ("Photo.jpg", "photo.jpg", composed, decomposed, "other.jpg")])
    assert stems == ["Photo_jpg", "photo_jpg_2", "caf\u00e9_jpg", "cafe\u0301_jpg_2", "other"]


def test_long_and_undecodable_names_work(tmp_path):
    long, longer = ("ü" * 123 + ending for ending in ("a", "b"))  # 247 bytes, and alike in the first 200
    stems = unique_stems([Path(f"{long}.jpg"), Path(f"{longer}.jpg")])
    assert len(set(stems)) == 2
    for stem in stems:
        save_picture(LEFT_RED, tmp_path / f"{stem}_upper_body_binary_mask.png")
    assert unique_stems([Path("a" * 200 + ".jpg")]) == ["a" * 200]
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png"))
    save_picture(LEFT_RED, path)
    assert find_pictures([tmp_path])[-1] in (path, *tmp_path.iterdir()) and open_picture(path).size == LEFT_RED.size
    write_text(tmp_path / "names.json", f'"{path.stem}"')
    assert (tmp_path / "names.json").read_text() == '"\\udcff\\udcfe"'


def test_text_files_of_any_encoding_are_read(tmp_path):
    text = "größe.jpg\tdress 1.jpg\n" * 3
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"):
        (tmp_path / "text.txt").write_bytes(text.encode(encoding))
        assert read_text(tmp_path / "text.txt") == text, encoding
    (tmp_path / "text.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(ValueError, match=r"text\.txt is damaged, or no text file"):
        read_text(tmp_path / "text.txt")


def test_a_full_disk_leaves_no_temporary_file(tmp_path, monkeypatch):
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_picture(LEFT_RED, tmp_path / "done.png")
    assert not list(tmp_path.iterdir())


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
    path.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
    assert is_whole_picture(path) == (suffix != ".png")  # one bit is wrong, and only PNG has checksums
    assert not is_whole_picture(tmp_path / "gone.png") and not is_whole_picture(tmp_path)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate"])
def test_damaged_tiffs_leave_the_screen_alone(tmp_path, capfd, compression):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "scan.tif", compression=compression)
    data = bytearray((tmp_path / "scan.tif").read_bytes())
    data[len(data) // 4 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 4)
    (tmp_path / "scan.tif").write_bytes(data)
    with pytest.raises(ValueError, match=r"scan\.tif can't be read as a picture: .*[a-z]"):
        open_picture(tmp_path / "scan.tif")
    assert capfd.readouterr().err == ""

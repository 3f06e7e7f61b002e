"""Pictures of all formats, their metadata, masks, and label maps."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from temu_vtoff.datasets.masks import open_label_map
from temu_vtoff.pictures import is_whole_picture, open_mask, open_picture, to_mask
from tests.fuzz import damaged, kind, only_ours

MODES = {  # of each format: those that Pillow writes
    "png": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "jpg": ("RGB", "L", "CMYK"),
    "webp": ("RGB", "RGBA"),
    "avif": ("RGB", "RGBA"),
    "gif": ("RGB", "L", "P", "1"),
    "bmp": ("RGB", "L", "P", "1"),
    "tif": ("RGB", "RGBA", "L", "P", "1", "CMYK", "I;16", "F", "LAB"),
    "jp2": ("RGB", "L"),
    "ico": ("RGBA",),
    "ppm": ("RGB", "L"),
    "tga": ("RGB", "RGBA", "L"),
    "qoi": ("RGB", "RGBA"),
    "dds": ("RGB", "RGBA"),
    "sgi": ("RGB", "L"),
    "pcx": ("RGB", "L", "P"),
}
LOSSLESS = ("png", "bmp", "tif", "ppm", "tga", "qoi", "sgi")
TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg")
TURNED = {5, 6, 7, 8}  # EXIF orientations that exchange width and height


def draw(rng: np.random.Generator, mode: str, least: int = 1) -> Image.Image:
    """A picture of blocks of colour, whose sides exchanged would show."""
    height, width = (int(side) for side in rng.integers(least, 80, 2))
    blocks = rng.integers(0, 256, (height // 7 + 1, width // 5 + 1, 4), np.uint8)
    pixels = blocks.repeat(7, 0).repeat(5, 1)[:height, :width]
    if mode in ("I;16", "F"):
        kinds = {"I;16": np.uint16, "F": np.float32}
        return Image.fromarray(pixels[..., 0].astype(kinds[mode]) * (257 if mode == "I;16" else 1))
    rgba = Image.fromarray(np.ascontiguousarray(pixels))
    if mode == "LAB":
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(rgba.convert("RGB"), srgb, ImageCms.createProfile("LAB"), outputMode="LAB")
    if mode == "LA":
        return rgba.convert("RGBA").convert("LA")
    return rgba.convert("RGB").convert(mode) if mode != "RGBA" else rgba


def write(picture: Image.Image, path: Path, rng: np.random.Generator, **options: object) -> bytes:
    if path.suffix == ".tif":
        compression = str(rng.choice(TIFF_COMPRESSIONS[:4] if picture.mode != "RGB" else TIFF_COMPRESSIONS))
        options["compression"] = compression if picture.mode in ("RGB", "L", "RGBA") else "raw"
    picture.save(path, **options)
    return path.read_bytes()


@kind("pictures")
def any_picture(rng: np.random.Generator, folder: Path) -> None:
    suffix = str(rng.choice(list(MODES)))
    path = folder / f"picture.{suffix}"
    picture = draw(rng, str(rng.choice(MODES[suffix])), least=16 if suffix == "ico" else 2)
    data = write(picture, path, rng)
    opened = open_picture(path)
    assert opened.mode == "RGB" and (suffix == "ico" or opened.size == picture.size)
    by_jpeg = suffix == "tif" and picture.mode == "RGB"
    if suffix in LOSSLESS and picture.mode in ("RGB", "L", "P", "1") and not by_jpeg:
        assert np.array_equal(opened, picture.convert("RGB")), f"{suffix} {picture.mode}: other pixels"
    elif picture.mode in ("RGBA", "LA") and suffix in LOSSLESS:
        white = Image.new("RGBA", picture.size, "white")
        expected = np.asarray(Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB"))
        assert np.abs(np.subtract(opened, expected, dtype=np.int16)).max() <= 1, f"{suffix} {picture.mode}"
    path.write_bytes(damaged(data, rng))
    for read in (open_picture, to_mask):
        with only_ours(path):
            assert read(path).mode in ("RGB", "L")
    with only_ours(path):
        open_label_map(path, "labels", 18)
    try:
        opened_by_caller = Image.open(path)
    except Exception:  # it is the caller who sees this
        return
    with opened_by_caller, only_ours(path):
        open_picture(opened_by_caller)


@kind("exif")
def exif(rng: np.random.Generator, folder: Path) -> None:
    """Whatever EXIF holds, a sound picture opens; and its orientation counts where that entry is sound."""
    suffix, orientation = str(rng.choice(["jpg", "png", "webp", "avif"])), int(rng.integers(1, 9))
    tags = Image.Exif()
    tags[0x010E], tags[0x010F], tags[0x0110] = "description", "maker", "model"
    tags[0x0112] = orientation
    tags[0x011A], tags[0x0131], tags[0x0132] = 72.0, "program", "2024:01:02 03:04:05"
    block = bytearray(tags.tobytes())  # "Exif\0\0", the TIFF header, then the entries of 12 bytes
    start = block.index(b"\x12\x01") if block[6:8] == b"II" else block.index(b"\x01\x12")
    sound = True
    for _ in range(int(rng.integers(1, 6))):
        place = int(rng.integers(6, len(block)))
        block[place] = int(rng.integers(256))
        inside = place < 16 or start <= place < start + 12  # the header, the number of entries, or the entry itself
        first = (place - 16) % 12 < 2 and place < 16 + 7 * 12  # a tag's number, which may become the orientation's
        sound = sound and not inside and not first
    picture = draw(rng, "RGB", least=16)
    path = folder / f"photo.{suffix}"
    if suffix == "avif":  # its writer reads the block
        picture.save(path)
        sound, orientation = True, 1
    else:
        picture.save(path, exif=bytes(block))
    opened = open_picture(path)
    assert sorted(opened.size) == sorted(picture.size)
    if sound:
        turned = picture.size[::-1] if orientation in TURNED else picture.size
        assert opened.size == turned, f"orientation {orientation} of {suffix} is lost"


@kind("profiles")
def profiles(rng: np.random.Generator, folder: Path) -> None:
    """A damaged profile never keeps a sound picture from being opened; a sound sRGB one changes nothing."""
    picture = draw(rng, str(rng.choice(["RGB", "L", "CMYK", "RGBA"])))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = folder / ("photo.tif" if picture.mode == "CMYK" else "photo.png")
    picture.save(path, icc_profile=profile)
    if picture.mode == "RGB":
        assert np.array_equal(open_picture(path), picture)
    picture.save(path, icc_profile=damaged(profile, rng))
    assert open_picture(path).size == picture.size


@kind("masks")
def drawn_masks(rng: np.random.Generator, folder: Path) -> None:
    """One shape, drawn in any of the ways, is one mask."""
    height, width = (int(side) for side in rng.integers(40, 120, 2))
    inside = np.zeros((height, width), bool)
    top, left = int(rng.integers(2, height // 2)), int(rng.integers(2, width // 2))
    inside[top : top + height // 3, left : left + width // 3] = True
    strong = rng.permutation([int(rng.integers(200, 256)), int(rng.integers(0, 60)), int(rng.integers(0, 60))])
    white, black, alpha = [255] * 3, [0] * 3, int(rng.integers(30, 256))
    noise = rng.integers(0, 256, (height, width, 3), np.uint8)
    opacity = np.where(inside, 255, 0).astype(np.uint8)
    drawn = {
        "white on black": np.where(inside[..., None], white, black),
        "grey on black": np.where(inside, int(rng.integers(1, 256)), 0),
        "paint on black": np.where(inside[..., None], strong, black),
        "paint on white": np.where(inside[..., None], strong, white),
        "paint on a layer": np.where(inside[..., None], [*strong, alpha], [*rng.integers(0, 256, 3), 0]),
        "white on a layer": np.where(inside[..., None], [*white, alpha], [*black, 0]),
        "a photo with a hole": np.dstack([noise, 255 - opacity]),
        "a part cut out of a photo": np.dstack([noise, opacity]),
    }
    name = str(rng.choice(list(drawn)))
    picture = Image.fromarray(drawn[name].astype(np.uint8))
    path = folder / str(rng.choice(["mask.png", "mask.tif", "mask.webp"]))
    picture.save(path, **({"lossless": True, "exact": True} if path.suffix == ".webp" else {}))
    for source in (path, picture):
        assert np.array_equal(np.asarray(to_mask(source)) > 0, inside), f"{name} in {path.suffix}"
        assert open_mask(source, Image.new("RGB", (2 * width, 2 * height))).size == (2 * width, 2 * height)


@kind("whole")
def wholeness(rng: np.random.Generator, folder: Path) -> None:
    """A picture that was written to its end is whole, one that was cut is not."""
    suffix = str(rng.choice(["png", "jpg", "webp", "bmp", "tif"]))
    path = folder / f"picture.{suffix}"
    draw(rng, "RGB", least=2).save(path)
    data = path.read_bytes()
    assert is_whole_picture(path), f"a whole {suffix}"
    path.write_bytes(data[: int(rng.integers(len(data)))])
    assert not is_whole_picture(path), f"a cut {suffix} of {path.stat().st_size} of {len(data)} bytes"
    path.write_bytes(damaged(data, rng))
    assert is_whole_picture(path) in (True, False)


@kind("callers")
def pictures_of_callers(rng: np.random.Generator, _: Path) -> None:
    """PIL pictures of any mode and size, with anything in `info`."""
    mode = str(
        rng.choice(
            ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "LA", "La", "RGBa", "PA", "I;16", "RGBX"]
        )
    )
    picture = Image.new(mode, tuple(int(side) for side in rng.integers(0, 30, 2)))
    junk = (b"", b"Exif\0\0II", rng.bytes(30), "text", 7, None, (1, 2, 3), (300, 0, 0), -1)
    for key in ("exif", "icc_profile", "transparency", "xmp", "Raw profile type exif"):
        if rng.random() < 0.3:
            picture.info[key] = junk[int(rng.integers(len(junk)))]
    with only_ours("the picture"):
        assert open_picture(picture).info == {}
    with only_ours("the picture", "the mask"):
        to_mask(picture)
    data = io.BytesIO()
    with only_ours("the picture"):
        open_picture(open_picture(picture)).save(data, "PNG")

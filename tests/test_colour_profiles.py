"""Embedded colour profiles, against colours worked out by hand."""

import struct
from itertools import product

import numpy as np
import pytest
from PIL import Image

from temu_vtoff.pictures import open_picture

D50 = (0.96420, 1.0, 0.82491)
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))
SRGB = np.array(((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410)))


def fixed(*numbers: float) -> bytes:
    """Numbers as ICC profiles have them, 16 bits before the point and 16 after it."""
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def icc_profile(name: str, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile: a head of 128 bytes, a table of tags, and the tags.

    Args:
        kind: 12 letters: the device, its colours, and the space that the tags lead to.
    """
    text = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + bytes(1 + 78)
    tags = {b"desc": text, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": b"XYZ " + bytes(4) + fixed(*D50)} | tags
    table, body, place = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += tag + struct.pack(">II", place + len(body), len(content))
        body += content
    head = struct.pack(">I4sI12s", place + len(body), b"none", 0x02400000, kind)
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(*D50)
    return head.ljust(128, b"\0") + table + body


def matrix_profile(name: str, primaries: tuple, gamma: float) -> bytes:
    """An ICC profile of three primaries and one gamma."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    tags = {}
    for letter, primary in zip("rgb", primaries, strict=True):
        tags[f"{letter}XYZ".encode()] = b"XYZ " + bytes(4) + fixed(*primary)
        tags[f"{letter}TRC".encode()] = curve
    return icc_profile(name, b"mntrRGB XYZ ", tags)


def ink_profile(inks: dict[tuple[int, int, int, int], tuple[float, float, float]]) -> bytes:
    """An ICC profile of four inks: the Lab colour of each full ink and of the paper; all mixtures are black.

    Between them it is linear: a table of two levels for each ink, with straight curves before and after it.
    """
    straight = struct.pack(">2H", 0, 65535)
    table = b"mft2" + bytes(4) + bytes((4, 3, 2, 0)) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">2H", 2, 2)
    table += 4 * straight
    for mixture in product((0, 1), repeat=4):  # the last ink changes first
        lightness, a, b = inks.get(mixture, (0, 0, 0))
        table += struct.pack(">3H", *(round(256 * value) for value in (lightness * 2.55, a + 128, b + 128)))
    return icc_profile("inks", b"prtrCMYKLab ", {b"A2B0": table + 3 * straight})


@pytest.mark.parametrize("ending", ["tif", "jpg"])
def test_cmyk_photos_come_in_by_their_profile(tmp_path, ending):
    """Inks of odd colours, so that their numbers alone lead elsewhere: cyan prints sRGB's red, magenta its green,
    yellow its blue (Lab under D50). Half of the black leaves a lightness of 49.8, which is the grey 118."""
    inks = {
        (0, 0, 0, 0): (100, 0, 0),
        (1, 0, 0, 0): (54.29, 80.81, 69.89),
        (0, 1, 0, 0): (87.82, -79.29, 80.99),
        (0, 0, 1, 0): (29.57, 68.30, -112.03),
    }
    printed = {
        (0, 0, 0, 0): (255, 255, 255),
        (255, 0, 0, 0): (255, 0, 0),
        (0, 255, 0, 0): (0, 255, 0),
        (0, 0, 255, 0): (0, 0, 255),
        (0, 0, 0, 255): (0, 0, 0),
        (0, 0, 0, 128): (118, 118, 118),
    }
    fields = np.repeat(np.array([*printed], np.uint8)[None], 16, axis=0).repeat(16, axis=1)
    path = tmp_path / f"photo.{ending}"
    Image.fromarray(fields, "CMYK").save(path, icc_profile=ink_profile(inks), quality=100, subsampling=0)
    opened = np.asarray(open_picture(path))[8, 8::16].astype(int)
    assert np.abs(opened - [*printed.values()]).max() <= 3


@pytest.mark.parametrize(
    ("name", "primaries", "gamma"), [("Adobe RGB", ADOBE_RGB, 2.19921875), ("ProPhoto", PROPHOTO, 1.80078125)]
)
def test_wide_profiles_come_out_as_worked_out_by_hand(tmp_path, name, primaries, gamma):
    """Value to power of gamma, times the primaries, divided by sRGB's, to sRGB's curve; what sRGB lacks is clipped."""
    colours = np.array([(128, 128, 128), (255, 255, 255), (150, 120, 110), (90, 110, 120), (200, 190, 120)], np.uint8)
    light = np.linalg.solve(SRGB, np.array(primaries).T @ ((colours / 255) ** gamma).T).clip(0, 1)
    right = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).T
    path = tmp_path / "photo.png"
    Image.fromarray(colours[None]).save(path, icc_profile=matrix_profile(name, primaries, gamma))
    assert np.abs(np.asarray(open_picture(path))[0] - right).max() < 1.5
    assert np.abs(colours - right).max() > 5

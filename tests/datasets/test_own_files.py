"""Datasets as people make them: own names, lists and captions of any program, damaged files."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from temu_vtoff.datasets import DressCodeDataset, VitonHDDataset
from temu_vtoff.datasets.captions import read_captions
from temu_vtoff.datasets.masks import generated_mask_path
from temu_vtoff.runs.sharing import item_seed
from tests.tiny_datasets import SIZE, garment_box, write_dresscode, write_vitonhd

CASES = Path(__file__).parent.parent / "cases"


def test_an_id_stands_for_one_garment(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        data = VitonHDDataset(CASES / "own_names", captions={"IMG_0001": "a dress", "IMG": "wrong"})
    assert [item.id for item in data.items] == ["IMG_0001", "IMG_0002", "IMG_0003"]
    assert "such as IMG_0001 and IMG_0002, share their name up to the first _" in caplog.text
    assert len({item_seed(item, 0) for item in data.items}) == 3
    assert [item.stem for item in data.items] == ["IMG_0001", "IMG_0002", "IMG_0003"]
    assert data[0].caption == "a dress" and data[1].caption is None


def test_own_names_in_dresscode_have_their_own_label_maps(tmp_path: Path) -> None:
    root = write_dresscode(tmp_path, test=2, categories=["dresses"])
    folder = root / "dresses"
    lines = []
    for number in (0, 1):
        for part, ending in (("images", "_0.jpg"), ("images", "_1.jpg"), ("label_maps", "_4.png")):
            (folder / part / f"00000{number}{ending}").rename(folder / part / f"my_dress_{number}{ending}")
        lines.append(f"my_dress_{number}_0.jpg\tmy_dress_{number}_1.jpg\n")
    (folder / "test_pairs_paired.txt").write_text("".join(lines))
    data = DressCodeDataset(root, category="dresses")
    assert [item.id for item in data.items] == ["my_dress_0_1", "my_dress_1_1"]
    assert [data[i].mask.getbbox() for i in (0, 1)] == [garment_box("000000"), garment_box("000001")]


def test_published_names_keep_their_ids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert [item.id for item in VitonHDDataset(write_vitonhd(tmp_path)).items][:2] == ["00000", "00001"]
    assert not caplog.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_pairs_files_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    root = write_vitonhd(tmp_path)
    (root / "test_pairs.txt").write_bytes("größe_1.jpg größe_1.jpg\r\n00001_00.jpg 00001_00.jpg\r\n".encode(encoding))
    assert [item.person.name for item in VitonHDDataset(root).items] == ["größe_1.jpg", "00001_00.jpg"]


def test_a_pairs_file_with_byte_order_mark(tmp_path: Path) -> None:
    root = write_vitonhd(tmp_path)
    shutil.copy(CASES / "pairs" / "test_pairs_bom.txt", root / "test_pairs.txt")
    assert VitonHDDataset(root).items[0].person.name == "000002_00.jpg"


@pytest.mark.parametrize(
    "line",
    [
        "my photo.jpg\tmy shirt.jpg",
        "my photo.jpg my shirt.jpg",
        "my photo.jpg\t my shirt.jpg\t0",
        "my photo.jpg  my shirt.jpg 0",
    ],
)
def test_names_may_hold_spaces(tmp_path: Path, line: str) -> None:
    root = write_dresscode(tmp_path, test=1, categories=["dresses"])
    (root / "dresses" / "test_pairs_paired.txt").write_text(line + "\n\n")
    (item,) = DressCodeDataset(root, category="dresses").items
    assert (item.person.name, item.garment.name) == ("my photo.jpg", "my shirt.jpg")


def test_a_pair_listed_twice_is_taken_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_vitonhd(tmp_path)
    pairs = root / "test_pairs.txt"
    once = [item.key for item in VitonHDDataset(root).items]
    pairs.write_text(2 * pairs.read_text())
    assert [item.key for item in VitonHDDataset(root).items] == once
    assert f"{pairs} lists {len(once)} pairs more than once" in caplog.text


def test_a_damaged_pairs_file_is_named(tmp_path: Path) -> None:
    root = write_vitonhd(tmp_path)
    (root / "test_pairs.txt").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match=r"test_pairs\.txt is damaged"):
        VitonHDDataset(root)


@pytest.mark.parametrize("damage", [b"\xff" * 5, b"\x81", b"\xc3"])
def test_damaged_captions_are_no_windows_text(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "captions.json"
    path.write_bytes(json.dumps({"1": ["naïve dress"]}, ensure_ascii=False).encode().replace(b"dress", b"dr" + damage))
    with pytest.raises(ValueError, match=r"captions\.json is damaged"):
        read_captions(path)


def test_windows_texts_may_hold_typographic_signs(tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_bytes('{"1": "a men’s shirt – 20 €"}'.encode("cp1252"))
    assert read_captions(path) == {"1": "a men’s shirt – 20 €"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252"])
def test_caption_files_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "captions.json"
    path.write_bytes(json.dumps({"1": ["naïve dress"]}, ensure_ascii=False).encode(encoding))
    assert read_captions(path) == {"1": "naïve dress"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"1": ["a"',
        b"\x00" * 64,
        b"[" * 100_000,
        b'{"1": ["\\ud800"]}',
        b'{"1": [{}]}',
        b'{"1": 7}',
        b"\xff",
    ],
    ids=range(9),
)
def test_damaged_caption_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "captions.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"captions\.json"):
        read_captions(tmp_path / "captions.json")


def test_a_damaged_label_map_fails_its_item_alone(tmp_path: Path) -> None:
    root = write_vitonhd(tmp_path)
    shutil.copy(CASES / "label_map" / "000003_00.png", root / "test" / "image-parse-v3" / "00001_00.png")
    data = VitonHDDataset(root)
    with pytest.raises(ValueError, match=r"00001_00\.png can't be read as a picture"):
        data[1]
    assert data[0].mask.getbbox() == garment_box("00000")


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_a_photo_is_no_label_map(tmp_path: Path, mode: str) -> None:
    root = write_vitonhd(tmp_path, test=1)
    photo = Image.open(root / "test" / "image" / "00000_00.jpg")
    if mode == "I;16":
        photo = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 256)
    else:
        photo = photo.convert(mode)
    photo.save(root / "test" / "image-parse-v3" / "00000_00.png")
    with pytest.raises(ValueError, match=r"label map .*00000_00\.png (is an RGB picture|holds the id \d+)"):
        VitonHDDataset(root)[0]


def test_generated_masks_are_read_as_all_masks_are(tmp_path: Path) -> None:
    data = VitonHDDataset(write_vitonhd(tmp_path / "data"), mask_dir=tmp_path / "masks")
    path = generated_mask_path(tmp_path / "masks", data.items[0])
    path.parent.mkdir(parents=True)
    layer = Image.new("RGBA", SIZE, (255, 255, 255, 0))
    layer.paste((255, 255, 255, 255), (1, 2, 30, 40))
    layer.save(path)
    assert data[0].mask.getbbox() == (1, 2, 30, 40)
    Image.new("L", SIZE).save(path)
    with pytest.raises(ValueError, match=r"00000_00_binary_mask\.png is black all over"):
        data[0]


def test_long_names_leave_room_for_endings(tmp_path: Path) -> None:
    root = write_vitonhd(tmp_path)
    person, garment = (letter * 240 + ".jpg" for letter in "pg")
    (root / "test_pairs.txt").write_text(f"{person} {garment}\n")
    (item,) = VitonHDDataset(root, order="unpaired").items
    for path in (generated_mask_path(tmp_path, item), tmp_path / f"{item.stem}_output.png"):
        assert len(path.name) <= 255

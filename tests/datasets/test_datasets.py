"""DressCode and VITON-HD: items, what is loaded, odd files, and the messages about missing ones."""

import json
import logging
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from temu_vtoff.datasets import DressCodeDataset, Sample, VitonHDDataset, open_dataset, stack_samples
from temu_vtoff.datasets.masks import generated_mask_path, shape_mask
from temu_vtoff.segmentation.masks import GarmentNotFoundError
from tests.tiny_datasets import SIZE, draw_garment, draw_person, garment_box, write_dresscode, write_vitonhd


@pytest.fixture(scope="module")
def dresscode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dresscode(tmp_path_factory.mktemp("dresscode"))


@pytest.fixture(scope="module")
def vitonhd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vitonhd(tmp_path_factory.mktemp("vitonhd"))


def box_of(mask: Image.Image) -> tuple[int, int, int, int]:
    assert set(np.unique(mask)) == {0, 255}
    return mask.getbbox()


def test_dresscode_items_follow_the_lists_with_the_published_ids(dresscode: Path) -> None:
    data = DressCodeDataset(dresscode)
    assert len(data) == 12
    assert [item.index for item in data.items] == list(range(12))
    skirt = data.items[5]
    assert (skirt.id, skirt.stem, skirt.key) == ("100001", "100001_1", "lower_body/100001_1")
    assert skirt.person.name == "100001_0.jpg"
    assert [i.key for i in DressCodeDataset(dresscode, category="lower_body").items] == [
        f"lower_body/10000{n}_1" for n in range(4)
    ]
    assert [i.id for i in DressCodeDataset(dresscode, phase="train", category="dresses").items] == ["200004", "200005"]


def test_dresscode_pictures_and_masks(dresscode: Path) -> None:
    data = DressCodeDataset(dresscode, load=("person", "garment", "mask", "masked_image"))
    for sample in (data[i] for i in range(len(data))):
        name = sample.item.id
        assert np.abs(np.subtract(sample.person, draw_person(name), dtype=np.int16)).mean() < 4  # JPEG
        assert np.abs(np.subtract(sample.garment, draw_garment(name), dtype=np.int16)).mean() < 4
        assert box_of(sample.mask) == garment_box(name)  # skirts too
        assert sample.masked_image.crop(garment_box(name)).getextrema() == ((128, 128),) * 3
        assert sample.masked_image.getpixel((0, 0)) == sample.person.getpixel((0, 0))


def test_unpaired_items_show_another_garment(dresscode: Path, vitonhd: Path) -> None:
    item = DressCodeDataset(dresscode, order="unpaired", category="dresses").items[0]
    assert (item.person.name, item.garment.name) == ("200000_0.jpg", "200001_1.jpg")
    assert (item.id, item.stem) == ("200001", "200000_0_200001_1")
    item = VitonHDDataset(vitonhd, order="unpaired").items[0]
    assert (item.person.name, item.garment.name, item.stem) == ("00000_00.jpg", "00001_00.jpg", "00000_00_00001_00")


def test_vitonhd_items_and_masks(vitonhd: Path) -> None:
    data = VitonHDDataset(vitonhd)
    assert [item.key for item in data.items] == [f"upper_body/0000{n}_00" for n in range(4)]
    assert all(item.garment.name == item.person.name for item in data.items)
    for sample in (data[i] for i in range(len(data))):  # labels 5, 6 and 7 all count
        assert box_of(sample.mask) == garment_box(sample.item.id)
    assert VitonHDDataset(vitonhd, phase="train").items[0].folder == "train"


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    root = write_dresscode(tmp_path, categories=["dresses"])
    for path in [*root.rglob("*_1.jpg"), *root.rglob("*_4.png")]:
        path.unlink()
    sample = DressCodeDataset(root, category="dresses", load=["person"])[0]
    assert sample.person.size == SIZE
    assert sample.garment is None and sample.mask is None and sample.masked_image is None and sample.caption is None


def test_batches_are_tensors_with_the_garment_at_one_half(dresscode: Path) -> None:
    data = DressCodeDataset(dresscode, load=["person", "mask", "masked_image"], width=32, height=32)
    batch = next(iter(DataLoader(data, batch_size=4, collate_fn=stack_samples, num_workers=1)))
    assert batch.person.shape == batch.masked_image.shape == (4, 3, 32, 32)
    assert batch.mask.shape == (4, 1, 32, 32) and set(batch.mask.unique().tolist()) == {0.0, 1.0}
    assert batch.garment is None
    inside = (batch.mask == 1).expand(-1, 3, -1, -1)
    assert (batch.masked_image[inside] == 0.5).all()
    assert torch.equal(batch.masked_image[~inside], batch.person[~inside])
    assert (batch.person[:, :, :, 0] == 1).all() and (batch.mask[:, :, :, 0] == 0).all()  # padded white, no garment
    with pytest.raises(ValueError, match="width and height"):
        stack_samples([Sample(data.items[0], person=draw_person("0", size)) for size in ((24, 32), (48, 64))])


def test_turned_grey_and_cmyk_photos_become_upright_rgb(tmp_path: Path) -> None:
    root = write_dresscode(tmp_path, test=3, categories=["upper_body"])
    images = root / "upper_body" / "images"
    upright = draw_person("000000")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(images / "000000_0.jpg", exif=exif, quality=95)
    draw_person("000001").convert("L").save(images / "000001_0.jpg")
    draw_person("000002").convert("CMYK").save(images / "000002_0.jpg", quality=95)
    data = DressCodeDataset(root, category="upper_body")
    turned, grey, cmyk = (data[i] for i in range(3))
    assert np.abs(np.subtract(turned.person, upright, dtype=np.int16)).mean() < 4
    assert box_of(turned.mask) == garment_box("000000")
    assert grey.person.mode == cmyk.person.mode == "RGB"
    assert np.abs(np.subtract(cmyk.person, draw_person("000002"), dtype=np.int16)).mean() < 6


def test_label_map_of_another_size_is_fitted_and_of_another_shape_refused(tmp_path: Path) -> None:
    root = write_dresscode(tmp_path, test=2, categories=["upper_body"])
    images = root / "upper_body" / "images"
    draw_person("000000", (96, 128)).save(images / "000000_0.jpg")
    draw_person("000001", (64, 48)).save(images / "000001_0.jpg")
    data = DressCodeDataset(root, category="upper_body")
    assert box_of(data[0].mask) == tuple(2 * edge for edge in garment_box("000000"))
    with pytest.raises(ValueError, match=r"000001_0.jpg is 48x64; it needs .* upright photo, 64x48"):
        data[1]


def test_cleaned_garment_pictures_go_first(tmp_path: Path) -> None:
    root = write_dresscode(tmp_path, test=2, categories=["dresses"])
    cleaned = root / "dresses" / "cleaned_inshop_imgs"
    cleaned.mkdir()
    Image.new("RGB", SIZE, "red").save(cleaned / "200000_1_cleaned.jpg")
    (root / "dresses" / "test_pairs_paired.txt").write_text("000000_0.jpg 200000_1.jpg\n000001_0.jpg 000001_1.jpg\n")
    first, second = DressCodeDataset(root, category="dresses").items
    assert first.garment.name == "200000_1_cleaned.jpg" and first.id == "200000"
    assert second.garment.name == "000001_1.jpg"


def test_captions_and_those_missing(dresscode: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "captions_0_2.json"
    path.write_text(json.dumps({"200000": ["a long dress"], "200001": "a dress", "200002": [""], "9": []}))
    with caplog.at_level(logging.WARNING):
        data = DressCodeDataset(dresscode, category="dresses", captions=path, load=())
    assert [data[i].caption for i in range(4)] == ["a long dress", "a dress", "", None]
    assert [item.id for item in data.without_caption] == ["200003"]
    assert "1 of 4 items have no caption: 200003" in caplog.text


def test_generated_masks_go_before_label_maps(dresscode: Path, vitonhd: Path, tmp_path: Path) -> None:
    data = DressCodeDataset(dresscode, category="dresses", mask_dir=tmp_path)
    path = generated_mask_path(tmp_path, data.items[1])
    assert path == tmp_path / "dresses" / "200001_0_binary_mask.png"
    path.parent.mkdir()
    mask = Image.new("L", SIZE)
    mask.paste(255, (1, 2, 30, 40))
    mask.save(path)
    assert box_of(data[1].mask) == (1, 2, 30, 40)
    assert box_of(data[0].mask) == garment_box("200000")
    item = VitonHDDataset(vitonhd).items[0]
    assert generated_mask_path(tmp_path, item) == tmp_path / "test" / "00000_00_binary_mask.png"


def test_a_mask_becomes_its_box_or_grows_loose() -> None:
    ring = np.zeros((64, 48), bool)
    ring[20:40, 10:30] = True
    ring[25:35, 15:25] = False
    assert shape_mask(ring, "fine") is ring
    box = shape_mask(ring, "bounding_box")
    assert box.sum() == 400 and box[20:40, 10:30].all()
    loose = shape_mask(ring, "mask")
    assert loose[ring].all() and loose[18, 20] and not loose[17, 20]  # 64 / 32 = 2 pixels
    assert not shape_mask(np.zeros((8, 8), bool), "bounding_box").any()
    with pytest.raises(ValueError, match="choose one of fine, bounding_box, mask"):
        shape_mask(ring, "loose")


def test_nothing_is_written(tmp_path: Path) -> None:
    root = write_vitonhd(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    data = VitonHDDataset(root, load=("person", "garment", "mask", "masked_image"), width=32, height=48)
    [data[i] for i in range(len(data))]
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        ("root", FileNotFoundError, ["There is no folder", "<root>/{upper_body,lower_body,dresses}"]),
        (
            "upper_body/test_pairs_paired.txt",
            FileNotFoundError,
            ["no pairs file", "test_pairs_paired.txt", "DressCode"],
        ),
        (
            "upper_body/label_maps/000000_4.png",
            FileNotFoundError,
            ["no label map", "000000_4.png", "label_maps/<id>_4"],
        ),
        ("upper_body/images/000000_0.jpg", FileNotFoundError, ["000000_0.jpg"]),
        ("upper_body/images/000000_1.jpg", FileNotFoundError, ["000000_1.jpg"]),
    ],
)
def test_missing_files_are_named(tmp_path: Path, damage: str, error: type[Exception], words: list[str]) -> None:
    root = write_dresscode(tmp_path, categories=["upper_body"])
    if damage == "root":
        root = root / "nowhere"
    else:
        (root / damage).unlink()
    with pytest.raises(error) as caught:
        DressCodeDataset(root, category="upper_body")[0]
    for word in words:
        assert word in str(caught.value)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    root = write_vitonhd(tmp_path)
    parse = root / "test" / "image-parse-v3" / "00000_00.png"
    parse.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"00000_00.png"):
        VitonHDDataset(root)[0]
    Image.new("RGB", SIZE).save(parse)
    with pytest.raises(ValueError, match=r"00000_00.png is an RGB picture"):
        VitonHDDataset(root)[0]
    Image.new("L", SIZE).save(parse)
    with pytest.raises(GarmentNotFoundError):
        VitonHDDataset(root)[0]
    (root / "test_pairs.txt").write_text("00000_00.jpg\n")
    with pytest.raises(ValueError, match="line 1"):
        VitonHDDataset(root)
    (root / "test_pairs.txt").write_text("00000_00.jpg 00001_00.jpg\n00000_00.jpg 00002_00.jpg\n")
    with pytest.raises(ValueError, match="twice"):
        VitonHDDataset(root)
    (root / "test_pairs.txt").write_text("")
    with pytest.raises(ValueError, match="empty"):
        VitonHDDataset(root)


def test_choices_are_checked(dresscode: Path, vitonhd: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose one of upper_body, all"):
        VitonHDDataset(vitonhd, category="dresses")
    with pytest.raises(ValueError, match="choose one of person, garment"):
        VitonHDDataset(vitonhd, load=["persons"])
    with pytest.raises(ValueError, match="no unpaired list for training"):
        DressCodeDataset(dresscode, phase="train", order="unpaired")
    with pytest.raises(ValueError, match="use paired"):
        VitonHDDataset(vitonhd, phase="train", order="unpaired")
    with pytest.raises(ValueError, match="both width and height"):
        VitonHDDataset(vitonhd, width=32)
    with pytest.raises(ValueError, match="choose one of dresscode, vitonhd"):
        open_dataset("viton", vitonhd)
    with pytest.raises(FileNotFoundError, match="no caption file"):
        VitonHDDataset(vitonhd, captions=tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match="one object"):
        VitonHDDataset(vitonhd, captions=tmp_path / "list.json")


def test_opening_5400_items_takes_under_two_seconds(tmp_path: Path) -> None:
    captions = {}
    for number, category in enumerate(("upper_body", "lower_body", "dresses")):
        folder = tmp_path / category
        folder.mkdir()
        ids = [f"{number}{i:05d}" for i in range(1800)]
        captions |= {i: ["a shirt with long sleeves"] for i in ids}
        (folder / "test_pairs_paired.txt").write_text("".join(f"{i}_0.jpg\t{i}_1.jpg\n" for i in ids))
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    started = time.process_time()  # its own work: a busy machine may keep it waiting for longer
    data = DressCodeDataset(tmp_path, captions=tmp_path / "captions.json")
    assert len(data) == 5400 and not data.without_caption
    assert time.process_time() - started < 2

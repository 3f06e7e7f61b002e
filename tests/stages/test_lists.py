"""Lists of photos as CSV and JSON lines, and several photos of one garment."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from temu_vtoff import TryOff
from temu_vtoff.errors import ArgumentError
from temu_vtoff.stages.garment import Garment
from temu_vtoff.stages.grouping import choose_each, in_groups
from temu_vtoff.stages.lists import group_by_pattern, read_list
from tests.picture_server import png, serving
from tests.tiny_datasets import draw_person
from tests.tiny_stages import stage_options


@pytest.fixture(scope="module")
def toolkit(models) -> TryOff:
    options = stage_options(models, num_inference_steps=1, batch_size=2)
    return TryOff(options, keep_loaded=True, private_addresses=True)


ROWS = [
    {"photo": "a.png", "category": "lower_body", "caption": "trousers, wide", "name": "1001", "sku": "A"},
    {"photo": "https://shop.example/b.jpg?x=1", "category": "", "caption": "", "name": "", "sku": "A"},
    {"photo": "sub/c.png", "category": "upper_body", "caption": "", "name": "1001", "mask": "c_mask.png", "sku": ""},
]


def write_csv(path: Path, separator: str, encoding: str) -> Path:
    names = list(dict.fromkeys(name for row in ROWS for name in row))
    lines = [names, *([row.get(name, "") for name in names] for row in ROWS)]
    quoted = [
        "\r\n",
        *("".join(f'{separator if n else ""}"{v}"' for n, v in enumerate(line)) + "\r\n" for line in lines),
    ]
    path.write_bytes("".join(quoted).encode(encoding))
    return path


def write_json_lines(path: Path) -> Path:
    rows = [{name: int(v) if v.isdigit() else (v or None) for name, v in row.items()} for row in ROWS]
    path.write_text("\n\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("kind", ["comma", "semicolon", "tab", "json"])
def test_rows_become_garments(tmp_path, kind):
    if kind == "json":
        listed = write_json_lines(tmp_path / "list.jsonl")
    else:
        separator, encoding = {"comma": (",", "utf-8-sig"), "semicolon": (";", "cp1252"), "tab": ("\t", "utf-16")}[kind]
        listed = write_csv(tmp_path / "list.csv", separator, encoding)
    first, second, third = read_list(listed, category="dresses", group_by="sku")
    assert (first.photo, first.category, first.caption) == (tmp_path / "a.png", "lower_body", "trousers, wide")
    assert (second.photo, second.category, second.name) == (ROWS[1]["photo"], "dresses", "b")
    assert third.photo == tmp_path / "sub" / "c.png" and third.mask_file == tmp_path / "c_mask.png"
    assert [garment.group for garment in (first, second, third)] == ["A", "A", None]
    assert (first.name, third.name) == ("1001_lower_body", "1001_upper_body"), "one name twice"
    assert first.error is second.error is third.error is None


def test_bad_rows_keep_their_errors_and_bad_lists_are_one_sentence(tmp_path):
    listed = tmp_path / "list.csv"
    listed.write_text("photo,name\n,x\na.png,../up\nb.png,.hidden\nc.png,good\n")
    garments = read_list(listed)
    assert [garment.error is None for garment in garments] == [False, False, False, True]
    assert "row 1 of the list names no photo" in str(garments[0].error) and "no name for a file" in str(
        garments[1].error
    )
    assert not any("/" in garment.name or garment.name.startswith(".") for garment in garments)
    for text, words in {
        "": "has no rows",
        "photo\n": "has no rows",
        "some notes on shirts\n": "no column photo; its columns are some notes on shirts",
        "picture,sku\na,1\n": "no column photo; its columns are picture, sku",
        'photo\n"a': "is no CSV",
        '{"photo": "a"}\n[1]\n': "Line 2 of the list",
        '{"photo": ["a"]}\n': "Line 1 of the list",
    }.items():
        listed.write_text(text)
        with pytest.raises(ValueError, match=words):
            read_list(listed)
    with pytest.raises(FileNotFoundError, match="There is no list"):
        read_list(tmp_path / "gone.csv")
    listed.write_text("photo,sku\na,1\n")
    with pytest.raises(ArgumentError, match="columns are photo, sku"):
        read_list(listed, group_by="colour")


def test_json_lines_of_other_programs(tmp_path):
    listed = tmp_path / "list.jsonl"
    lines = [{"photo": "a.png", "caption": "a top\u2028with sleeves"}, {"photo": "b.png", "name": "\ud800"}]
    listed.write_text("\r\n".join([json.dumps(lines[0], ensure_ascii=False), json.dumps(lines[1])]), encoding="utf-8")
    first, second = read_list(listed)
    assert first.caption == "a top\u2028with sleeves" and first.error is None
    assert second.name == "row_2" and "no name for a file" in str(second.error)


def test_the_stages_take_a_list_and_one_row_never_ends_the_others(toolkit, tmp_path):
    draw_person("000000").save(tmp_path / "a.png")
    mask = Image.new("L", draw_person("000000").size)
    mask.paste(255, (8, 8, 24, 24))
    mask.save(tmp_path / "mask.png")
    with serving({"/b.jpg": png(draw_person("000001"))}) as (address, _):
        rows = [
            {"photo": "a.png", "category": "lower_body", "name": "one", "caption": "trousers"},
            {"photo": f"{address}/b.jpg", "name": "two"},
            {"photo": f"{address}/gone.jpg", "name": "three"},
            {"photo": "a.png", "category": "coat", "name": "four"},
            {"photo": "a.png", "mask": "mask.png", "name": "five"},
            {"photo": "a.png", "category": "all", "mask": "mask.png", "name": "six"},
            {"photo": "a.png", "category": "all", "name": "seven"},
            {"photo": "a.png", "category": "outer", "name": "eight"},
            {"photo": "a.png", "name": "seven_upper_body"},
        ]
        (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
        garments = toolkit.segment(read_list(tmp_path / "list.jsonl"))
        toolkit.caption(garments)
        products = list(toolkit.generate(garments))
    by_name = {product.garment.name: product for product in products}
    assert len(by_name) == 10, "names stay unique"
    errors = {name: str(product.error) for name, product in by_name.items() if product.error is not None}
    assert set(errors) == {"three", "four", "six", "eight"}
    assert "status 404" in errors["three"] and "'coat'" in errors["four"] and "instead of all" in errors["six"]
    assert by_name["one"].garment.caption == "trousers" and by_name["one"].garment.labels == ("Skirt", "Pants")
    fetched = by_name["two"].garment
    assert fetched.origin == f"{address}/b.jpg" and Path(fetched.photo).name == "two.png"
    assert by_name["five"].garment.labels == () and np.asarray(by_name["five"].mask).any()


def test_an_address_alone_is_a_photo_too(toolkit, tmp_path):
    with serving({"/b.jpg": png(draw_person("000001"))}) as (address, _):
        (garment,) = TryOff(toolkit.options, downloads=tmp_path / "photos", private_addresses=True).segment(
            f"{address}/b.jpg"
        )
        (refused,) = TryOff(toolkit.options).segment(f"{address}/b.jpg")
    assert garment.error is None and garment.name == "b" and garment.photo == tmp_path / "photos" / "b.png"
    assert "is a private address" in str(refused.error)


def test_the_sharp_photo_from_the_front_is_used(toolkit):
    photo = draw_person("000000").resize((192, 256))
    garments = toolkit.segment([photo.filter(ImageFilter.GaussianBlur(6)), photo, photo, draw_person("000001")])
    for garment, group in zip(garments, ("A", "A", "A", None), strict=True):
        garment.group, garment.caption = group, "a shirt"
    garments[2].warnings = ["the person is seen from behind: the garment's front is a guess."]
    groups = in_groups([garments[0], garments[3], *garments[1:3]])
    assert [[garment.name for garment in group.garments] for group in groups] == [
        ["photo_1", "photo_2", "photo_3"],
        ["photo_4"],
    ]
    first, second = choose_each(groups, toolkit.generate([g for group in groups for g in group.garments]))
    assert first.product.garment is garments[1] and first.product.garment.name == "A"
    assert [other.garment for other in first.alternatives] == [garments[0], garments[2]]
    assert [other.garment.name for other in first.alternatives] == ["A_alternative_1", "A_alternative_2"]
    assert "sharpness 1.00" in first.reason and first.reason.endswith("from behind")
    assert second.product.garment.name == "photo_4" and second.alternatives == [] and second.reason is None


def test_a_photo_that_fails_is_an_alternative(toolkit, tmp_path):
    garments = toolkit.segment([tmp_path / "gone.png", draw_person("000000")])
    for garment in garments:
        garment.group = "A/B"
    (choice,) = choose_each(in_groups(garments), toolkit.generate(garments))
    assert choice.product.garment is garments[1] and choice.product.garment.name == "A_B"
    assert choice.alternatives[0].error is not None and choice.reason.endswith("it failed")
    (failed,) = choose_each(in_groups(garments[:1]), toolkit.generate(garments[:1]))
    assert failed.product.error is not None


def test_groups_by_a_pattern_and_by_category():
    garments = [
        Garment(photo, category, name=str(number))
        for number, (photo, category) in enumerate(
            [("s/12_front.jpg", "dresses"), ("http://a.b/12_back.jpg", "dresses"), ("x.jpg", "dresses")]
        )
    ]
    group_by_pattern(garments, r"(\d+)_")
    assert [garment.group for garment in garments] == ["12", "12", None]
    garments[1].category = "upper_body"
    assert [group.name for group in in_groups(garments)] == ["12_dresses", "12_upper_body", "2"]
    with pytest.raises(ArgumentError, match="no regular expression"):
        group_by_pattern(garments, "(")

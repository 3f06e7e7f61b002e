"""What the page makes of the finishing, the score of pictures, warnings about photos, and several people."""

import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from temu_vtoff.pictures import open_picture
from temu_vtoff.segmentation.labels import Labels
from tests.test_app import PHOTO, chosen, finishing, models, one, page, painted, visitor
from web_page.finishing import as_hex
from web_page.layout import build_page
from web_page.studio import Limits, Studio
from web_page.visits import Visits

__all__ = ["models", "one", "page"]  # fixtures
UPLOADED = {"path": str(PHOTO)}


def make(one, **how) -> dict:
    editor = painted(open_picture(PHOTO))
    return list(one.try_off(visitor("a"), str(PHOTO), editor, "upper_body", "a top", [], [], *chosen(**how)))[-1]


def test_pictures_are_finished_again_without_being_made_again(one):
    made = make(one, count=2)
    results = made[one.results]
    again = lambda results, **how: one.finish_again(visitor("a"), results, 1, *finishing(**how))
    assert results[0].finished == results[0].picture and again(results) == {}
    shown = again(results, background="colour", colour="rgba(10, 20.2, 30, 1)", margin=20, output_format="jpg")
    picture = Image.open(shown[one.picture])
    assert picture.format == "JPEG" and np.abs(np.array(picture.getpixel((2, 2))) - (10, 20, 30)).max() <= 3
    assert shown[one.picture] == str(shown[one.results][1].finished) and shown[one.chosen] == 1
    downloaded = shown[one.downloads["finished"]].value["path"]
    assert Path(downloaded).read_bytes() == Path(shown[one.picture]).read_bytes()
    with zipfile.ZipFile(shown[one.archive].value["path"]) as files:
        names = set(files.namelist())
    assert {result.picture.stem + ".jpg" for result in results} < names and not names & {results[0].picture.name}
    clear = again(shown[one.results], background="transparent", output_format="webp")
    assert Image.open(clear[one.picture]).mode == "RGBA" and Path(shown[one.picture]).exists()
    assert again(clear[one.results])[one.picture] == str(results[1].picture)
    with pytest.raises(gr.Error, match="give Format png or webp, or another Background"):
        again(results, background="transparent", output_format="jpg")


def test_what_is_chosen_beforehand_holds_for_both_tabs(page, one):
    how = {"background": "white", "margin": 10, "output_format": "webp"}
    *_, many = page.several.try_off(visitor("a"), [str(PHOTO)], "upper_body", *chosen(**how))
    for file in (make(one, **how)[one.picture], many[page.several.gallery][0][0]):
        assert Image.open(file).format == "WEBP" and Image.open(file).getpixel((0, 0)) == (255, 255, 255)


def test_the_best_picture_comes_first_with_its_mark_and_doubts(one, models):
    made = make(one, count=4)
    results = made[one.results]
    marks = [int(result.details.split("Quality ")[1].split()[0]) for result in results]
    assert marks == sorted(marks, reverse=True) and len(set(marks)) > 1
    assert sorted(int(result.details.split()[1].strip(",")) for result in results) == [0, 1, 2, 3]
    shown = one.choose(results, 3)
    assert shown[one.details] == results[3].details and shown[one.warning].visible
    assert shown[one.warning].value.startswith("Look closely: its ")


def test_programs_can_finish_and_choose_the_best(page, monkeypatch):
    said = []
    monkeypatch.setattr(gr, "Warning", said.append)
    ask = lambda **how: list(
        page.programs.try_off(visitor("a"), UPLOADED, None, caption="a top", steps=2, count=3, **how)
    )[-1]
    plain, best = ask(), ask(best_first=True, background="#0000ff", margin=12.5, output_format="jpg")
    assert [Path(file["path"]).suffix for file in best] == [".jpg", ".png"] * 3
    red, green, blue = Image.open(best[0]["path"]).getpixel((1, 1))
    assert blue > 240 and max(red, green) < 15 and any(line.startswith("Look closely") for line in said)
    cutouts = [{Path(file["path"]).read_bytes() for file in files[1::2]} for files in (plain, best)]
    assert cutouts[0] == cutouts[1]
    for how, complaint in [
        ({"background": "blue"}, "Background is 'blue'"),
        ({"margin": -1}, "Margin is '-1%'"),
        ({"margin": "wide"}, "Margin is wide; give a number"),
        ({"output_format": "gif"}, "Format is 'gif'"),
        ({"whose": 2}, "Person is 2, and the photo shows one person"),
        ({"whose": 0}, "Person is 0; give a whole number from 1"),
    ]:
        with pytest.raises(gr.Error, match=complaint):
            ask(**how)


def test_colours_are_read_as_browsers_write_them():
    assert as_hex("rgba(244, 10.4, 0, 1)") == "#f40a00" and as_hex("#ABCDEF") == "#ABCDEF"


def test_warnings_about_the_photo_stand_at_its_mask(one):
    *_, shown, _ = one.look(visitor("a"), str(PHOTO), "upper_body")  # the tiny segmenter takes everything for a top
    assert shown[one.remarks].value.startswith("The garment is cut off at the top") and shown[one.remarks].visible
    assert not one.wait()[one.remarks].visible


@pytest.fixture
def two_people(models, monkeypatch):
    """Every photo shows a small person in trousers at the left and a large one in a top at the right."""

    def label_maps(photos: list[Image.Image]) -> list[np.ndarray]:
        found = []
        for photo in photos:
            label_map = np.zeros((64, 48), np.uint8)
            for (left, right), foot, cloth in (((6, 14), 40, 6), ((28, 44), 60, 4)):
                label_map[4:8, left:right], label_map[8:14, left:right], label_map[14:foot, left:right] = 2, 11, cloth
            found.append(np.asarray(Image.fromarray(label_map).resize(photo.size, Image.Resampling.NEAREST)))
        return found

    for toolkit in (models.toolkit, models.fitting_room.toolkit):
        monkeypatch.setattr(toolkit.segmenter(), "label_maps", label_maps)


def test_a_field_picks_one_of_several_people(one, two_people):
    _, shown, _ = one.look(visitor("a"), str(PHOTO), "upper_body")
    assert shown[one.person].visible and (shown[one.person].choices, shown[one.person].value) == (
        [("1", 1), ("2", 2)],
        2,
    )
    assert "The photo shows 2 people: number 2 from the left is taken." in shown[one.remarks].value
    wears, other, _ = one.look_at_person(str(PHOTO), "upper_body", 1)
    assert wears == {one.category: "lower_body"} and other[one.person].value == 1
    assert other[one.mask]["mask"] != shown[one.mask]["mask"]


def test_somebody_of_several_people_tries_on(page, two_people):
    tab = page.on
    _, shown = tab.look(visitor("a"), str(PHOTO), "upper_body")
    assert shown[tab.person].visible and shown[tab.person].value == 2 and "2 people" in shown[tab.remarks].value
    (other,) = tab.look_again(str(PHOTO), "lower_body", 1)
    assert other[tab.person].value == 1 and other[tab.mask]["mask"] != shown[tab.mask]["mask"]


def test_programs_name_the_person(page, two_people):
    mask = lambda **how: np.asarray(Image.open(page.programs.segment(visitor("a"), UPLOADED, **how)["path"]))
    left, right = mask(category="lower_body", whose=1), mask()
    half = left.shape[1] // 2
    assert left[:, :half].any() and not left[:, half:].any() and right[:, half:].any() and not right[:, :half].any()
    with pytest.raises(gr.Error, match="Person is 3, and the photo shows 2 people"):
        mask(whose=3)


def test_garments_that_the_segmenter_cannot_tell_are_not_offered(models, one, tmp_path, monkeypatch):
    offered = lambda tab: [name for _, name in tab.category.choices]
    assert offered(one) == ["upper_body", "lower_body", "dresses"]
    segmenter = models.toolkit.segmenter()
    monkeypatch.setattr(segmenter, "labels", Labels((*segmenter.labels.names, "Outer-clothes")))
    layered = build_page(Studio(models, Visits(tmp_path), Limits()), [])
    assert offered(layered.one) == ["upper_body", "lower_body", "dresses", "outer", "inner"]
    assert offered(layered.several) == [*offered(layered.one), "all"]

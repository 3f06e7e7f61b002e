"""The page's tab for try-on and its endpoint, without a browser."""

from pathlib import Path

import gradio as gr
import gradio_client
import numpy as np
import pytest
from PIL import Image

import app
from temu_vtoff import ClothSegmenter
from temu_vtoff.builtin import BUILTIN
from temu_vtoff.pictures import open_picture
from tests.test_app import PHOTO, ROOT, client, models, painted_as, server, visitor
from tests.tiny_page import GOLDEN_TRYON
from web_page.fitting_room import FittingRoom
from web_page.layout import build_page
from web_page.messages import PHOTOGRAPH
from web_page.models import Models
from web_page.server import tryon_options
from web_page.studio import Limits, Studio
from web_page.try_on import NEEDED, WORN, TryOnTab
from web_page.visits import Visits

__all__ = ["models", "server"]  # fixtures
SAMPLING = (0, 2, 2.0, 1)  # seed, steps, guidance, pictures


@pytest.fixture(scope="module")
def garment(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("garment") / "shirt.png"
    Image.linear_gradient("L").convert("RGB").save(path)
    return str(path)


@pytest.fixture
def tab(models, tmp_path) -> TryOnTab:
    return build_page(Studio(models, Visits(tmp_path / "files"), Limits(megapixels=2)), [PHOTO]).on


def half_painted(path: Path) -> dict:
    """What the editor sends of a photo whose left half is to be repainted."""
    mask = Image.new("L", open_picture(path).size)
    mask.paste(255, (0, 0, mask.width // 2, mask.height))
    return painted_as(path, mask)


def arguments(garment: str | None, editor: dict | None, kind: str = "alone", category: str = "upper_body") -> tuple:
    return (str(PHOTO), editor, garment, kind, category, [], [])


def test_person_and_garment_become_a_picture_and_its_files(tab, garment):
    reset, shown = tab.look(visitor("a"), str(PHOTO), "upper_body", 2)
    assert not reset[tab.person].visible and not shown[tab.person].visible
    assert shown[tab.mask]["mask"] and shown[tab.mask]["photo"]
    *steps, last = tab.try_on(visitor("a"), *arguments(garment, half_painted(PHOTO)), 0, 3, 2.0, 2)
    assert "step 3 of 3" in steps[-1][tab.progress]
    previews = [step[tab.picture] for step in steps if tab.picture in step]
    assert previews and all(not Path(preview).exists() for preview in previews)
    results = last[tab.results]
    assert len(results) == 2 and last[tab.several].visible and last[tab.progress] == ""
    photo, made, other = (np.asarray(Image.open(path)) for path in (PHOTO, results[0].picture, results[1].picture))
    half = photo.shape[1] // 2
    assert made.shape == photo.shape and np.array_equal(made[:, half:], photo[:, half:])
    assert np.abs(made[:, :half].astype(int) - photo[:, :half]).mean() > 10 and not np.array_equal(made, other)
    assert last[tab.picture] == str(results[0].picture) == last[tab.slider][1]
    assert Image.open(last[tab.downloads["panel"]].value["path"]).width > 3 * photo.shape[1]
    assert last[tab.details] == "Seed 0, 3 steps" and not last[tab.warning].visible
    assert last[tab.history][0][1] == "example1 shirt"


def test_a_garment_that_somebody_wears_is_taken_off_first(tab, garment):
    *steps, last = tab.try_on(visitor("a"), *arguments(str(PHOTO), half_painted(PHOTO), WORN), *SAMPLING)
    words = [step[tab.progress] for step in steps]
    off, on = ([n for n, word in enumerate(words) if part in word] for part in ("taking the garment off", "putting it"))
    assert off and on and max(off) < min(on)
    *_, other = tab.try_on(visitor("a"), *arguments(str(PHOTO), half_painted(PHOTO)), *SAMPLING)
    pictures = [np.asarray(Image.open(shown[tab.results][0].picture)) for shown in (last, other)]
    assert not np.array_equal(*pictures)


def test_the_model_is_seen_by_its_region_and_repeats_by_its_seed(tab, garment):
    def make(seed: int) -> np.ndarray:
        *_, last = tab.try_on(visitor("a"), *arguments(garment, half_painted(PHOTO)), seed, *SAMPLING[1:])
        return np.asarray(Image.open(last[tab.picture]))

    assert np.array_equal(make(5), make(5)) and not np.array_equal(make(5), make(6))


def test_stop_ends_the_loop_between_two_steps(tab, garment):
    seen = []
    for shown in tab.try_on(visitor("a"), *arguments(garment, half_painted(PHOTO)), 0, 100, 2.0, 1):
        seen.append(shown)
        if len(seen) == 4:
            tab.stop_work(visitor("a"))
    assert len(seen) < 100 and seen[-1] == {tab.progress: "", tab.picture: None}


def test_buttons_wait_for_both_pictures(tab):
    can = lambda *paths: tab.settle(*paths)[tab.make].interactive
    assert can("person.jpg", "garment.jpg") and not can("person.jpg", None) and not can(None, "garment.jpg")


def test_an_absent_garment_can_be_painted_by_hand(tab, monkeypatch):
    said = []
    monkeypatch.setattr(gr, "Warning", said.append)
    _, shown = tab.look(visitor("a"), str(PHOTO), "lower_body")
    assert shown[tab.mask]["photo"] and shown[tab.mask]["mask"] is None
    assert said[0].startswith("No skirt or trousers was found in the photo; it shows a top. Choose another garment")


@pytest.mark.parametrize(
    "given, sampling, complaint",
    [
        ({"garment": None}, SAMPLING, "there is no picture of a garment yet"),
        ({"editor": None}, SAMPLING, "the mask is empty"),
        ({"category": "shoes"}, SAMPLING, "Garment is 'shoes'"),
        ({"kind": WORN, "category": "lower_body", "garment": str(PHOTO)}, SAMPLING, "No skirt or trousers was found"),
        ({}, (-1, 2, 2.0, 1), "Seed is -1"),
        ({}, (0, 2, float("nan"), 1), "Guidance is nan"),
        ({}, (0, 2, 2.0, 9), "Pictures of a garment is 9"),
    ],
)
def test_mistakes_are_one_sentence(tab, garment, given, sampling, complaint):
    given = {"garment": garment, "editor": half_painted(PHOTO)} | given
    with pytest.raises(gr.Error, match=complaint):
        list(tab.try_on(visitor("a"), *arguments(**given), *sampling))


def test_a_garment_alone_that_shows_somebody_is_refused(tab, models, garment, monkeypatch):
    seeing = ClothSegmenter.from_pretrained("builtin", "cpu")  # the tiny one sees clothes only
    monkeypatch.setitem(models.fitting_room.toolkit._models, "segmenter", seeing)
    ask = lambda path, kind: next(tab.try_on(visitor("a"), *arguments(path, half_painted(PHOTO), kind), *SAMPLING))
    with pytest.raises(gr.Error, match="shows somebody: choose that somebody wears it"):
        ask(str(PHOTO), "alone")
    assert ask(str(PHOTO), WORN) and ask(str(ROOT / "examples" / "outputs" / "example1_output.png"), "alone")


def test_tiff_is_shown_as_png_in_both_fields(tab, tmp_path):
    open_picture(PHOTO).save(tmp_path / "scan.tiff")
    (shown,) = tab.look(visitor("a"), str(tmp_path / "scan.tiff"), "upper_body")
    garment = tab.look_at_garment(visitor("a"), str(tmp_path / "scan.tiff"))
    for path in (shown[tab.photo], garment[tab.garment]):
        assert Image.open(path).format == "PNG" and tab.studio.visits.owns("a", Path(path).parent)
    assert tab.look_at_garment(visitor("a"), str(PHOTO)) == tab.look_at_garment(visitor("a"), None) == {}


def test_built_in_models_warn_of_photographs(tab, models, garment, tmp_path, monkeypatch):
    photo = tmp_path / "photo.png"
    Image.effect_noise((384, 512), 60).convert("RGB").save(photo)
    outfit = lambda person, garment, worn: tab.outfits.outfit(
        str(person), Image.new("L", (384, 512), 255), garment=str(garment), category="upper_body", worn=worn
    )
    warned = lambda *given: tab.outfits.warning(outfit(*given)) == PHOTOGRAPH
    assert not warned(photo, photo, True)
    monkeypatch.setattr(Models, "is_builtin", True)
    assert warned(PHOTO, photo, True) and not warned(photo, photo, False)
    monkeypatch.setattr(FittingRoom, "is_builtin", True)
    assert warned(photo, garment, False) and not warned(PHOTO, photo, False)


def test_the_page_and_the_toolkit_agree(tab, models, garment):
    *_, last = tab.try_on(visitor("a"), *arguments(garment, half_painted(PHOTO)), 7, 2, 2.0, 1)
    region = Image.new("L", (384, 512))
    region.paste(255, (0, 0, 192, 512))
    toolkit = models.fitting_room.toolkit
    (theirs,) = toolkit.generate(toolkit.prepare(PHOTO, mask=region), garment, seed=7, num_inference_steps=2)
    assert np.array_equal(np.asarray(Image.open(last[tab.picture])), theirs.images[0])


def test_without_a_model_the_tab_says_what_is_needed(models, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "fitting_room", None)
    page = build_page(Studio(models, Visits(tmp_path), Limits()), [])
    texts = [str(block.value) for block in page.blocks.values() if isinstance(block, gr.Markdown)]
    assert page.on is None and NEEDED in texts and "--" not in NEEDED
    assert "try_on" not in {function.api_name for function in page.fns.values()}


def test_the_flags_of_try_on_are_those_of_the_page():
    named = tryon_options(
        app.parse_args(["--tryon_model", str(GOLDEN_TRYON), "--pose_model", "none", "--preset", "fast"])
    )
    assert (named.tryon, named.pose_model, named.preset) == (str(GOLDEN_TRYON), "none", "fast")
    assert tryon_options(app.parse_args([])).tryon == BUILTIN
    published = ["--pretrained_model_name_or_path_sd3_tryoff", "davidelobba/TEMU-VTOFF"]
    assert tryon_options(app.parse_args(published)) is None


def test_programs_can_try_on(server, tmp_path, garment):
    ours = client(server, tmp_path)
    photo, shirt = gradio_client.handle_file(PHOTO), gradio_client.handle_file(garment)
    files = ours.predict(photo, shirt, None, "upper_body", False, 5, 2, 2.0, 2, api_name="/try_on")
    assert [Path(file).name for file in files] == ["example1_shirt.png", "example1_shirt_2.png"]
    assert all(Image.open(file).size == (384, 512) for file in files)
    region = tmp_path / "region.png"
    mask = Image.new("L", (384, 512))
    mask.paste(255, (100, 100, 200, 300))
    mask.save(region)
    (made,) = ours.predict(
        photo, photo, gradio_client.handle_file(region), "upper_body", True, 0, 2, api_name="/try_on"
    )
    changed = (np.asarray(Image.open(made)) != np.asarray(Image.open(PHOTO))).any(2)
    assert changed[110:290, 110:190].mean() > 0.9 and not changed[:, 200:].any() and not changed[:100].any()

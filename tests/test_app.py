"""The web page without a browser: its parts, its limits, and its endpoints as programs call them."""

import asyncio
import errno
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import gradio_client
import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.middleware import Middleware

import app
import command_line
from temu_vtoff.errors import ArgumentError
from temu_vtoff.pictures import open_picture
from temu_vtoff.stages import Garment, TryOff
from tests.tiny_page import save_page_models
from web_page.gate import Gate, Hosts
from web_page.guard import EXAMPLES, REFUSED, Page
from web_page.layout import NOTICE, build_page
from web_page.messages import FAULT, FULL, OUT_OF_MEMORY, PHOTOGRAPH, Mistake, explain, in_words, not_found
from web_page.models import Models, Settings
from web_page.one_photo import OnePhoto
from web_page.photos import from_editor, looks_like_a_photograph, on_screen, open_upload, to_editor
from web_page.results import file_name
from web_page.run import Run, Step
from web_page.server import tryon_options
from web_page.server_folder import PREFIX, server_folder, sweep_leftovers
from web_page.studio import Limits, Studio, name_of
from web_page.visits import IDLE, Visits

ROOT = Path(__file__).parent.parent
WEB = httpx.Client(verify=False, timeout=120)  # one for all: each new one reads the certificates
PHOTO = ROOT / "examples" / "example1.jpg"
WAITING = 9  # requests that may wait in the queue


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Models:
    flags = save_page_models(tmp_path_factory.mktemp("models"))
    args = app.parse_args([*flags, "--device", "cpu"])
    return Models(command_line.options(args), tryon_options(args))


@pytest.fixture
def page(models, tmp_path) -> Page:
    """The page, not opened: its tabs answer when called."""
    return build_page(Studio(models, Visits(tmp_path / "files"), Limits(megapixels=2, photos=2)), [])


@pytest.fixture
def one(page) -> OnePhoto:
    return page.one


@dataclass(frozen=True)
class Server:
    """The page on a free port, and the folder of its visits."""

    address: str
    folder: Path
    visits: Visits
    page: Page


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        visits = Visits(folder, grace=0.5, kept=[EXAMPLES])
        page = build_page(Studio(models, visits, Limits(megapixels=2, photos=2)), [])
        page.queue(max_size=WAITING)
        _, address, _ = page.launch(
            server_name="127.0.0.1",
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            max_file_size=2**20,
            app_kwargs={"middleware": [Middleware(Gate, hosts=Hosts("127.0.0.1", ["page.example"]), visits=visits)]},
        )
        yield Server(address, folder, visits, page)
        page.close()


def client(server, folder: Path) -> gradio_client.Client:
    patient = {"timeout": 120}  # on a busy machine
    return gradio_client.Client(server.address, verbose=False, download_files=str(folder), httpx_kwargs=patient)


def visitor(name: str) -> gr.Request:
    return gr.Request(session_hash=name)


# --- parts ------------------------------------------------------------------------------------------------------


def painted(photo: Image.Image, mask: Image.Image | None = None) -> dict:
    """What the mask editor sends of a photo: by default everything is painted."""
    shown = to_editor(photo, Image.new("L", photo.size, 255) if mask is None else mask, name_of(PHOTO))
    return {"name": shown["name"], "mask": shown["mask"]}


def test_editor_gives_back_the_mask_it_was_given():
    photo = Image.effect_noise((90, 120), 80).convert("RGB")
    mask = Image.new("L", photo.size)
    mask.paste(255, (20, 30, 70, 100))
    value = to_editor(photo, mask, "a")
    assert value["photo"].startswith("data:image/jpeg;base64,") and value["name"] == "a"
    back = from_editor({"mask": value["mask"]}, photo, "a")
    assert back.size == photo.size and on_screen(photo).size == (768, 1024)
    assert (np.asarray(back) == np.asarray(mask)).all()


@pytest.mark.parametrize(
    "value, complaint",
    [
        (None, "mask is empty"),
        ({"mask": None}, "mask is empty"),
        (painted(Image.new("RGB", (30, 40)), Image.new("L", (30, 40))), "mask is empty"),
        (painted(Image.new("RGB", (40, 30))), "the mask is 768x576, the photo 768x1024"),
        ({"mask": "data:image/png;base64,AAAA"}, "can't be read"),
        ({"mask": "data:image/svg+xml;base64,AAAA"}, "can't be read"),
        ({"mask": "http://127.0.0.1:9/mask.png"}, "can't be read"),
        ({"mask": ["no text"]}, "can't be read"),
        ({"mask": "x", "name": "another photo's"}, "still being made"),
        ("no object", "mask is empty"),
    ],
)
def test_a_mask_that_is_none_is_refused(value, complaint):
    with pytest.raises(Mistake, match=complaint):
        from_editor(value, Image.new("RGB", (30, 40)), name_of(PHOTO))


def test_uploads_are_checked_before_they_are_decoded(tmp_path):
    large, text, half = tmp_path / "large.png", tmp_path / "text.png", tmp_path / "half.jpg"
    Image.new("1", (3000, 1000)).save(large)
    text.write_text("no picture")
    half.write_bytes(PHOTO.read_bytes()[:9000])
    (tmp_path / "vector.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert open_upload(PHOTO, 2).size == (384, 512)
    for name, complaint in [
        ("large.png", "at most 2 megapixels"),
        ("text.png", "can't be read"),
        ("half.jpg", "can't be read"),
        ("vector.png", "can't be read"),
        ("absent.png", "can't be read"),
    ]:
        with pytest.raises(ValueError, match=complaint) as told:
            open_upload(tmp_path / name, 2)
        assert str(told.value).startswith(name) and str(tmp_path) not in str(told.value)


def test_heic_says_how_to_convert_and_tiff_is_taken(tmp_path):
    heic, tiff = tmp_path / "IMG_1.HEIC", tmp_path / "scan.tiff"
    heic.write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    Image.new("RGB", (30, 40), "red").save(tiff)
    with pytest.raises(Mistake, match=r"IMG_1.HEIC is a HEIC photo.*export it as JPEG"):
        open_upload(heic, 2)
    assert open_upload(tiff, 2).getpixel((1, 1)) == (255, 0, 0)


def test_grain_tells_photographs_from_drawn_people():
    for path in sorted((ROOT / "examples").glob("*.jpg")):
        drawn = open_picture(path)
        assert not looks_like_a_photograph(drawn) and not looks_like_a_photograph(drawn.resize((96, 128)))
        noise = np.random.default_rng(0).normal(0, 4, (drawn.height, drawn.width, 3))
        grainy = Image.fromarray((np.asarray(drawn) + noise).clip(0, 255).astype(np.uint8))
        assert looks_like_a_photograph(grainy)


def test_words_of_the_labels_become_words_of_people():
    assert in_words(["Upper-clothes", "Left-shoe", "Right-shoe", "Pants"]) == "a top, shoes and trousers"
    assert in_words(["Dress"]) == "a dress"
    sentence = not_found("lower_body", ["Dress", "Hair"])
    assert sentence == "No skirt or trousers was found in the photo; it shows a dress and hair."
    assert "no person" in not_found("dresses", [])


def test_errors_name_the_pages_fields_and_never_flags():
    assert explain(ArgumentError("{guidance_scale} is nan; give a number.", "guidance_scale")).startswith("Guidance is")
    assert explain(RuntimeError("CUDA out of memory. Tried ...")) == OUT_OF_MEMORY and "--" not in OUT_OF_MEMORY
    assert explain(ValueError("of a library, with /a/path and --offload")) is None
    assert explain(OSError(errno.ENOSPC, "full")) == "this server's disk is full."


def test_file_names_are_cut_where_they_are_long():
    assert file_name("/folder/photo.of.me.jpg") == "photo.of.me"
    assert len(file_name("é" * 120 + ".jpg").encode()) < 220


def test_a_run_tells_its_steps_and_passes_errors_on(tmp_path):
    run = Run(tmp_path)
    assert [step.share for step in run.follow(lambda: [run.report(Step(x, "")) for x in (0.1, 0.5)])] == [0.1, 0.5]
    assert run.result() == [True, True]
    run.stopped.set()
    list(run.follow(lambda: run.report(Step(1, ""))))
    assert run.result() is False
    list(run.follow(lambda: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        run.result()


def test_closing_what_follows_a_run_stops_it(tmp_path):
    run = Run(tmp_path)
    steps = run.follow(lambda: [run.report(Step(0, "")), run.stopped.wait(60)])
    next(steps)
    steps.close()
    assert run.wait(60) and run.result()[1]


def test_files_stay_until_the_visit_ends(tmp_path):
    visits = Visits(tmp_path)
    first, second, other = visits.start("a"), visits.start("a"), visits.start("b")
    for run in (first, second, other):
        (run.folder / "picture.png").touch()
    upload, both = (tmp_path / name / "photo.jpg" for name in ("u" * 64, "v" * 64))
    for file in (upload, both):
        file.parent.mkdir()
        file.touch()
    visits.claim("a", [upload, both, first.folder / "picture.png", Path("/etc/passwd")])
    visits.claim("b", [both])
    assert not first.stopped.is_set() and (first.folder / "picture.png").exists()
    visits.leave("a")
    assert not first.folder.exists() and not second.folder.exists() and not upload.parent.exists()
    assert both.exists() and (other.folder / "picture.png").exists() and Path("/etc/passwd").exists()
    visits.leave("b"), visits.leave("nobody")
    assert not list(tmp_path.iterdir())


def test_stop_reaches_all_that_a_visitor_asked_for_and_nobody_else(tmp_path):
    visits = Visits(tmp_path)
    mine, mine_too, other = visits.start("a"), visits.start("a"), visits.start("b")
    threads = [
        threading.Thread(target=list, args=(run.follow(lambda run=run: run.stopped.wait(60)),))
        for run in (mine, mine_too, other)
    ]
    for thread in threads:
        thread.start()
    wait_for(
        lambda: (
            all(not run.wait(0) for run in (mine, mine_too, other)) and all(r._thread for r in (mine, mine_too, other))
        )
    )
    assert visits.stop("a") and mine.wait(60) and mine_too.wait(60) and not other.stopped.is_set()
    assert not visits.stop("a") and not visits.stop("nobody") and not visits.stop(None)
    assert visits.close(60) and other.stopped.is_set()


def test_sweeping_ends_visits_whose_visitors_have_gone(tmp_path):
    visits = Visits(tmp_path, grace=0.2, kept=["examples"])
    here, gone, program = visits.start("here"), visits.start("gone"), visits.start(None)
    for visitor in ("here", "gone"):
        visits.connect(visitor)
    visits.disconnect("gone")
    visits.sweep()
    assert gone.folder.exists()  # a connection may come back
    old, fresh, example = tmp_path / ("u" * 64) / "old.jpg", tmp_path / "fresh.jpg", tmp_path / "examples" / "a.jpg"
    for file in (old, fresh, example):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    for file in (old, example):
        os.utime(file, (0, time.time() - IDLE - 60))
    time.sleep(0.3)
    visits.sweep()
    assert not gone.folder.exists() and not old.parent.exists()
    assert here.folder.exists() and program.folder.exists() and fresh.exists() and example.exists()


def test_folders_of_killed_servers_are_swept_and_those_of_living_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed, older, foreign = tmp_path / f"{PREFIX}a", tmp_path / f"{PREFIX}b", tmp_path / "other"
    for folder in (killed, older, foreign):
        folder.mkdir()
        (folder / "photo.jpg").touch()
    (killed / ".lock").touch()
    os.utime(older, (0, 0))  # of a version without locks
    with server_folder() as living:
        assert not killed.exists() and not older.exists() and foreign.exists()
        sweep_leftovers(tmp_path)
        assert living.exists()
    assert list(tmp_path.iterdir()) == [foreign]


# --- models and tabs -------------------------------------------------------------------------------------------


def test_previews_end_in_the_picture_and_false_ends_the_loop(models):
    seen, settings = [], Settings(48, 64, steps=9)
    garment = lambda: Garment(
        open_picture(PHOTO), "upper_body", mask=Image.new("L", (384, 512), 255), caption="a shirt"
    )
    models.try_off(garment(), settings, lambda *step: seen.append(step) or True)
    assert [step[:2] for step in seen] == [(n, 9) for n in range(1, 10)]
    assert [step[2].size for step in seen if step[2] is not None] == [(48, 64)] * 9
    product = models.try_off(garment(), settings, lambda *step: True).images[0]
    difference = np.abs(np.asarray(seen[-1][2], float) - np.asarray(product, float))
    assert difference.max() <= 1  # by the last step the estimate is the result
    seen.clear()
    models.try_off(garment(), settings, lambda *step: seen.append(step) or len(seen) < 3)
    assert len(seen) == 3


def test_the_page_and_the_toolkit_agree(models):
    mask = Image.new("L", (384, 512))
    mask.paste(255, (100, 100, 300, 400))
    garment = lambda: Garment(PHOTO, "upper_body", mask=mask, caption="a shirt")
    ours = models.try_off(garment(), Settings(48, 64, steps=2, seed=7), lambda *step: True).images[0]
    (theirs,) = TryOff(models.toolkit.options).generate([garment()], seed=7, num_inference_steps=2)
    assert np.array_equal(ours, theirs.images[0])


def test_sizes_have_the_models_shape(models):
    for width, height in models.sizes():
        models.own_size.choose(width, height)
        assert width * models.own_size.height == height * models.own_size.width
    assert (models.own_size.width, models.own_size.height) in models.sizes()


def chosen(seed=0, steps=2, guidance=2.0, size="48x64", count=1, fit="pad", **finish) -> list:
    """The fields of the finishing and of "Advanced", in their order."""
    return [*finishing(**finish), seed, steps, guidance, size, count, fit]


def finishing(background="keep", colour="#f4f4f4", margin=0, output_format="png") -> list:
    return [background, colour, margin, output_format]


def test_one_photo_from_upload_to_zip(one):
    reset, found, shown, described = one.look(visitor("a"), str(PHOTO), "lower_body", 2)
    assert not reset[one.person].visible and not shown[one.person].visible
    assert found[one.category] == "upper_body"  # what the photo shows goes before what is chosen
    editor, caption = shown[one.mask], described[one.caption]
    assert editor["photo"] and editor["mask"] and caption
    arguments = (str(PHOTO), editor, "upper_body", caption, [], [], *chosen(steps=3, count=2))
    *steps, last = one.try_off(visitor("a"), *arguments)
    assert len(steps) == 4 and "step 3 of 3" in steps[-1][one.progress] and any(one.picture in step for step in steps)
    results, history = last[one.results], last[one.history]
    assert last[one.progress] == "" and len(results) == len(history) == 2 and last[one.several].visible
    assert last[one.picture] == str(results[0].picture) and Image.open(results[0].picture).size == (48, 64)
    assert last[one.slider] == (str(results[0].before), str(results[0].picture))
    assert Image.open(last[one.downloads["cutout"]].value["path"]).mode == "RGBA"
    assert Image.open(last[one.downloads["panel"]].value["path"]).width > 3 * 48
    assert sorted(result.details[:21] for result in results) == ["Seed 0, 3 steps, 48x6", "Seed 1, 3 steps, 48x6"]
    with zipfile.ZipFile(last[one.archive].value["path"]) as files:
        assert len(files.namelist()) == 8 and caption in files.read("captions.txt").decode()
        assert set(json.loads(files.read("attributes.json"))) == {result.picture.name for result in results}
    assert one.choose(results, 1)[one.picture] == str(results[1].picture)
    assert not list(results[0].picture.parent.glob("preview*"))


def test_files_of_one_run_outlive_the_next(one):
    ask = lambda: list(
        one.try_off(visitor("a"), str(PHOTO), painted(open_picture(PHOTO)), "upper_body", "", [], [], *chosen())
    )[-1]
    first, second = ask()[one.results][0], ask()[one.results][0]
    assert first.picture != second.picture and first.picture.exists() and second.picture.exists()


def test_stop_ends_the_loop_between_two_steps(one):
    editor, seen = painted(open_picture(PHOTO)), []
    making = one.try_off(visitor("a"), str(PHOTO), editor, "upper_body", "", [], [], *chosen(steps=100, count=4))
    for shown in making:
        seen.append(shown)
        if len(seen) == 3:
            one.stop_work(visitor("another"))
        if len(seen) == 5:
            one.stop_work(visitor("a"))
    assert 5 < len(seen) < 100 and seen[-1] == {one.progress: "", one.picture: None}
    *_, last = one.try_off(visitor("a"), str(PHOTO), editor, "upper_body", "", [], [], *chosen())
    results = last[one.results]  # the next one works again
    assert one.show_last(results, str(PHOTO))[one.picture] == str(results[0].picture)


def test_buttons_can_be_pressed_when_they_can_do_something(one):
    interactive = lambda shown: [shown[button].interactive for button in (one.make, one.stop) if button in shown]
    assert interactive(one.wait()) == [False]
    assert interactive(one.begin()) == [False, True]
    assert interactive(one.settle("photo.jpg")) == [True, False] and interactive(one.settle(None)) == [False, False]


def test_tiff_is_shown_as_png(one, tmp_path):
    open_picture(PHOTO).save(tmp_path / "scan.tiff")
    (shown,) = one.look(visitor("a"), str(tmp_path / "scan.tiff"), "upper_body")
    assert Image.open(shown[one.photo]).format == "PNG" and one.studio.visits.owns("a", Path(shown[one.photo]).parent)


def test_an_absent_garment_can_be_painted_by_hand(one, monkeypatch):
    said = []
    monkeypatch.setattr(gr, "Warning", said.append)
    shown = list(one.look_again(str(PHOTO), "lower_body"))
    assert shown[0][one.mask]["mask"] is None and shown[1][one.caption]
    assert said == [
        "No skirt or trousers was found in the photo; it shows a top. Choose another garment, or paint over it."
    ]


def test_a_blank_seed_is_a_random_one(one):
    seeds = {one.studio.settings_of_page(*chosen(seed=None)).seed for _ in range(8)}
    assert len(seeds) == 8 and all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize(
    "wrong, complaint",
    [
        ({"seed": -1}, "Seed is -1"),
        ({"seed": 2**32}, "Seed is"),
        ({"seed": 1.5}, "Seed is 1.5"),
        ({"seed": "7"}, "Seed is 7"),
        ({"steps": 0}, "Steps is 0"),
        ({"steps": float("nan")}, "Steps is nan"),
        ({"guidance": float("inf")}, "Guidance is inf"),
        ({"guidance": None}, "Guidance is None"),
        ({"count": 5}, "Pictures of a garment is 5"),
        ({"size": "7x9"}, "Size is 7x9; choose one of"),
        ({"fit": "stretched"}, "Fit is stretched"),
    ],
)
def test_settings_are_checked_in_the_pages_words(one, wrong, complaint):
    with pytest.raises(gr.Error, match=complaint):
        list(one.try_off(visitor("a"), str(PHOTO), None, "upper_body", "", [], [], *chosen(**wrong)))


def test_pad_or_crop_treats_photo_and_mask_alike(models, tmp_path):
    studio, wide = Studio(models, Visits(tmp_path), Limits()), Image.new("RGB", (400, 200), "red")
    for fit, covered in (("pad", 0.375), ("crop", 1.0)):  # of 48x64: 48x24 of the photo, or all
        garment = Garment(wide, "upper_body", mask=Image.new("L", wide.size, 255), caption="")
        product = models.try_off(garment, studio.settings_of_page(*chosen(fit=fit)), lambda *step: True)
        red = np.asarray(product.photo)[..., 1] < 100
        assert abs(red.mean() - covered) < 0.02 and ((np.asarray(product.mask) > 0) == red).mean() > 0.97


def test_long_captions_are_told_to_be_cut(models, one, monkeypatch):
    said = []
    monkeypatch.setattr(gr, "Warning", said.append)
    assert models.words_read("a shirt with short sleeves") is None
    read = models.words_read("a shirt with short sleeves " * 40)
    assert 10 < read < 200
    list(
        one.try_off(
            visitor("a"), str(PHOTO), painted(open_picture(PHOTO)), "upper_body", "a shirt " * 200, [], [], *chosen()
        )
    )
    assert said[0].startswith("The caption is long: the model reads its first")


def test_the_built_in_model_warns_of_photographs(one, models, monkeypatch, tmp_path):
    photo = Image.effect_noise((384, 512), 60).convert("RGB")
    photo.save(tmp_path / "photo.png")
    ask = lambda: list(
        one.try_off(
            visitor("a"),
            str(tmp_path / "photo.png"),
            painted_as(tmp_path / "photo.png"),
            "upper_body",
            "",
            [],
            [],
            *chosen(),
        )
    )[-1][one.warning]
    assert PHOTOGRAPH not in ask().value
    monkeypatch.setattr(Models, "is_builtin", True)
    assert ask().visible and ask().value.startswith(PHOTOGRAPH.split("'")[0])


def painted_as(path: Path, mask: Image.Image | None = None) -> dict:
    return painted(open_picture(path), mask) | {"name": name_of(path)}


def test_the_notice_comes_first_and_only_with_the_built_in_model(models, page, tmp_path, monkeypatch):
    texts = lambda page: [block.value for block in page.blocks.values() if isinstance(block, gr.Markdown)]
    assert not any("drawn people" in str(text) for text in texts(page))
    monkeypatch.setattr(Models, "is_builtin", True)
    built = build_page(Studio(models, Visits(tmp_path / "b"), Limits()), [])
    assert texts(built)[0].strip() == NOTICE and "--" not in NOTICE


def test_nobody_can_share_and_links_are_there(page):
    config = page.get_config_file()
    for component in config["components"]:
        assert "share" not in (component["props"].get("buttons") or []), component["type"]
    about = next(c["props"]["value"] for c in config["components"] if "arxiv.org" in str(c["props"].get("value")))
    assert "davidelobba/TEMU-VTOFF" in about and "stable-diffusion-3-medium" in about and "CC BY-NC" in about


def test_several_photos_survive_a_bad_one(page, tmp_path):
    many, bad = page.several, tmp_path / "bad <b>.png"
    bad.write_text("no picture")
    *_, last = many.try_off(visitor("a"), [str(bad), str(PHOTO)], "all", *chosen())
    assert last[many.progress] == "" and len(last[many.gallery]) == 1 and "bad &lt;b&gt;.png" in last[many.notes]
    with zipfile.ZipFile(last[many.archive].value["path"]) as files:
        names = {f"example1_upper_body{ending}.png" for ending in ("", "_cutout", "_panel")}
        assert set(files.namelist()) == names | {"captions.txt", "attributes.json"}
    with pytest.raises(gr.Error, match="at most 2"):
        list(many.try_off(visitor("a"), [str(PHOTO)] * 3, "all", *chosen()))
    with pytest.raises(gr.Error, match="no photo yet"):
        list(many.try_off(visitor("a"), None, "all", *chosen()))


def test_mistakes_are_one_sentence_and_faults_are_hidden(one, models, monkeypatch):
    ask = lambda path, editor: list(one.try_off(visitor("a"), path, editor, "upper_body", "", [], [], *chosen()))
    with pytest.raises(gr.Error, match="there is no photo yet"):
        ask(None, None)
    with pytest.raises(gr.Error, match="the mask is empty"):
        ask(str(PHOTO), None)

    def broken(*_):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(models, "caption", broken)
    with pytest.raises(gr.Error) as raised:
        list(one.look_again(str(PHOTO), "upper_body"))
    assert str(raised.value).strip("'\"") == FAULT


# --- endpoints --------------------------------------------------------------------------------------------------


def test_programs_can_segment_caption_and_try_off(server, tmp_path):
    ours, photo = client(server, tmp_path), gradio_client.handle_file(PHOTO)
    named = ours.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/segment", "/caption", "/try_off", "/try_on", "/stop"}
    mask = ours.predict(photo, "upper_body", api_name="/segment")
    assert Image.open(mask).size == (384, 512)
    caption = ours.predict(photo, "upper_body", api_name="/caption")
    settings = {"seed": 5, "steps": 2, "guidance": 2.0, "size": "48x64", "count": 2}
    files = ours.predict(photo, gradio_client.handle_file(mask), "upper_body", caption, **settings, api_name="/try_off")
    assert [Path(file).name for file in files] == [
        f"example1{ending}.png" for ending in ("", "_cutout", "_2", "_2_cutout")
    ]
    assert Image.open(files[0]).size == (48, 64) and Image.open(files[1]).mode == "RGBA"
    alone = ours.predict(photo, None, "upper_body", "", **settings, api_name="/try_off")
    assert [np.asarray(Image.open(a)).tolist() for a in files] == [np.asarray(Image.open(a)).tolist() for a in alone]


def test_the_document_on_the_page_is_right(server, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "page.md").read_text()
    shell, python = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)[1] for kind in ("bash", "python"))
    for command in shell.replace("\\\n", " ").strip().splitlines():
        assert app.parse_args(shlex.split(command)[2:])
    named = client(server, tmp_path).view_api(return_format="dict")["named_endpoints"]
    for name, arguments in re.findall(r"\| `(/\w+)` \| (.*) \|", text):
        taken = [one["parameter_name"] for one in named.pop(name)["parameters"]]
        assert taken == ([] if arguments == "none" else arguments.split(", "))
    assert not named
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(gradio_client.client, "DEFAULT_TEMP_DIR", str(tmp_path))
    made: dict = {}
    exec(python.replace("http://127.0.0.1:7860", server.address), made)
    assert len(made["files"]) == 4 and Image.open(made["files"][0]).getpixel((0, 0)) == (255, 255, 255)


def test_jobs_of_one_client_at_once_all_get_their_files(server, tmp_path):
    ours, photo = client(server, tmp_path), gradio_client.handle_file(PHOTO)
    ask = lambda seed: ours.submit(photo, None, "upper_body", "a shirt", seed, 2, 2.0, "48x64", 1, api_name="/try_off")
    jobs = [ask(seed) for seed in range(8)]
    made = [np.asarray(Image.open(job.result(timeout=120)[0])) for job in jobs]
    assert all(not np.array_equal(a, b) for a, b in itertools.combinations(made, 2))


def test_programs_may_leave_the_last_arguments_out(server):
    segment = next(one["id"] for one in functions(server) if one["api_name"] == "segment")
    assert ask(server, segment, [{"path": upload(server, PHOTO)}])["success"]
    assert "photo is no file" in ask(server, segment, [])["output"]["error"]


def test_cancelling_a_job_stops_its_work(server, tmp_path, models, monkeypatch):
    steps = []
    real = models.try_off
    watched = lambda *arguments: real(*arguments[:-1], lambda *step: steps.append(step) or arguments[-1](*step))
    monkeypatch.setattr(models, "try_off", watched)
    ours = client(server, tmp_path)
    arguments = (gradio_client.handle_file(PHOTO), None, "upper_body", "a shirt", 0, 100, 2.0, "48x64", 4)
    job = ours.submit(*arguments, api_name="/try_off")
    wait_for(lambda: len(steps) > 2)
    job.cancel()
    assert models.rest(60)  # the work ends
    models._lock.release()
    assert len(steps) < 90
    assert ours.predict(*arguments[:5], 2, 2.0, "48x64", 1, api_name="/try_off")  # and the next begins


def test_a_visits_files_are_deleted_when_its_connection_ends(server, tmp_path):
    photo = shutil.copy(PHOTO, tmp_path / "of this visit.jpg")
    files = lambda: [path for path in server.folder.rglob("*") if "of_this_visit" in path.name.replace(" ", "_")]
    segment = next(one["id"] for one in functions(server) if one["api_name"] == "segment")
    with WEB.stream("GET", f"{server.address}gradio_api/heartbeat/passing"):
        answer = ask(server, segment, [{"path": upload(server, Path(photo))}, "upper_body"], "passing")
        assert answer["success"] and len(files()) == 2  # the upload and the mask
        time.sleep(0.6)
        server.visits.sweep()
        assert len(files()) == 2
    wait_for(lambda: server.visits.sweep() or not files())


def test_nothing_given_by_programs_is_told_plainly(server, tmp_path):
    ours, photo = client(server, tmp_path), gradio_client.handle_file(PHOTO)
    for arguments, complaint in [
        ((None, "upper_body"), "photo is no file"),
        (("photo.jpg", "upper_body"), "photo is no file"),
        ((photo, None), "Garment is None; choose one of upper_body"),
    ]:
        with pytest.raises(Exception, match=complaint):
            ours.predict(*arguments, api_name="/segment")
    for arguments, complaint in [
        ((None,), "photo is no file"),
        ((photo, "mask.png"), "mask is no file"),
        ((photo, None, "upper_body", None), "caption is no text"),
        ((photo, None, "upper_body", "a shirt", 0, 2, 2.0, "1x1"), "Size is 1x1; choose one of"),
    ]:
        with pytest.raises(Exception, match=complaint):
            ours.predict(*arguments, api_name="/try_off")
    for arguments, complaint in [
        ((None, photo), "person is no file"),
        ((photo, None), "garment is no file"),
        ((photo, photo, "region.png"), "region is no file"),
        ((photo, photo, None, "shoes"), "Garment is 'shoes'; choose one of"),
        ((photo, photo, None, "upper_body", False, 0, 0), "Steps is 0"),
        ((photo, photo, None, "lower_body"), "No skirt or trousers was found in the photo; it shows a top"),
    ]:
        with pytest.raises(Exception, match=complaint):
            ours.predict(*arguments, api_name="/try_on")


def queue_size(server) -> int:
    return WEB.get(f"{server.address}gradio_api/queue/status").json()["queue_size"]


def test_two_visitors_at_once_get_what_each_gets_alone(server, tmp_path):
    def ask(seed: int):
        arguments = (gradio_client.handle_file(PHOTO), None, "upper_body", "a shirt", seed, 6, 2.0, "48x64", 1)
        (made, _) = client(server, tmp_path / str(threading.get_ident())).predict(*arguments, api_name="/try_off")
        return np.asarray(Image.open(made))

    alone = [ask(1), ask(2)]
    together: dict[int, np.ndarray] = {}
    threads = [threading.Thread(target=lambda n=n: together.update({n: ask(n)})) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not np.array_equal(*alone)
    assert np.array_equal(together[1], alone[0]) and np.array_equal(together[2], alone[1])


def test_who_is_turned_away_reads_our_words(server, tmp_path, monkeypatch):
    page, programs = (
        next(one["id"] for one in functions(server) if one["queue"] is not False and one["api_visibility"] == kind)
        for kind in ("private", "public")
    )
    join = lambda function: WEB.post(
        f"{server.address}gradio_api/queue/join", json={"data": [], "fn_index": function, "session_hash": "late"}
    )
    monkeypatch.setattr(server.page._queue, "max_size", 0)
    assert (join(page).status_code, join(page).json()["detail"]) == (429, FULL)  # the browser shows its own at 503
    assert (join(programs).status_code, join(programs).json()["detail"]) == (503, FULL)
    with pytest.raises(Exception, match="Queue is full"):
        client(server, tmp_path).predict(gradio_client.handle_file(PHOTO), "upper_body", api_name="/caption")


def test_who_waits_gets_what_was_asked_for(server, models, tmp_path, monkeypatch):
    working, go_on = threading.Event(), threading.Event()

    def slow_caption(photo, category):
        working.set()
        assert go_on.wait(60)
        return "a shirt"

    monkeypatch.setattr(models, "caption", slow_caption)
    ours, photo = client(server, tmp_path), gradio_client.handle_file(PHOTO)
    ask = lambda: ours.submit(photo, "upper_body", api_name="/caption")
    jobs = [ask()]
    assert working.wait(60)
    jobs += [ask() for _ in range(WAITING)]
    wait_for(lambda: queue_size(server) == WAITING)
    go_on.set()
    assert [job.result(timeout=60) for job in jobs] == ["a shirt"] * (1 + WAITING)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_programs_are_told_in_one_sentence(server, tmp_path):
    ours = client(server, tmp_path)
    bad, large = tmp_path / "bad.png", tmp_path / "large.png"
    bad.write_text("no picture")
    Image.new("1", (3000, 1000)).save(large)
    for path, category, complaint in [
        (bad, "upper_body", "bad.png can't be read as a picture"),
        (large, "upper_body", "at most 2 megapixels"),
        (PHOTO, "lower_body", "No skirt or trousers was found in the photo; it shows a top"),
        (PHOTO, "shoes", "Garment is 'shoes'; choose one of"),
    ]:
        with pytest.raises(Exception, match=complaint) as told:
            ours.predict(gradio_client.handle_file(path), category, api_name="/segment")
        assert str(server.folder) not in str(told.value)


def upload(server, path: Path) -> str:
    """Uploads a file as the page does; its path on the server."""
    with path.open("rb") as file:
        return WEB.post(f"{server.address}gradio_api/upload", files={"files": (path.name, file)}).json()[0]


def ask(server, function: int, data: list, visitor: str = "somebody", **more) -> dict:
    """The last message of an event, public or private, as the page sends it."""
    body = {"data": data, "fn_index": function, "session_hash": visitor, **more}
    WEB.post(f"{server.address}gradio_api/queue/join", json=body).raise_for_status()
    with WEB.stream("GET", f"{server.address}gradio_api/queue/data?session_hash={visitor}", timeout=120) as lines:
        for line in lines.iter_lines():
            if line.startswith("data:") and (message := json.loads(line[5:]))["msg"] == "process_completed":
                return message
    raise AssertionError("no answer")


def functions(server) -> list[dict]:
    """All events of the page that take something."""
    return [one for one in WEB.get(f"{server.address}config").json()["dependencies"] if one["inputs"]]


MARKED = {"meta": {"_type": "gradio.FileData"}}
SPELLINGS = {
    "no meta": lambda path: {"path": str(path)},
    "empty meta": lambda path: {"path": str(path), "meta": {}},
    "other meta": lambda path: {"path": str(path), "meta": {"_type": "gradio.Other"}},
    "marked": lambda path: {"path": str(path), **MARKED},
    "a stream": lambda path: {"path": str(path), "is_stream": True},
    "relative": lambda path: {"path": os.path.relpath(path)},
    "two dots": lambda path: {"path": f"{path.parent}/nowhere/../{path.name}", **MARKED},
    "scheme": lambda path: {"path": f"file://{path}"},
    "scheme, marked": lambda path: {"path": f"file://{path}", **MARKED},
    "url only": lambda path: {"url": f"file://{path}", "path": None},
    "route": lambda path: {"path": f"/gradio_api/file={path}", "url": f"/gradio_api/file={path}"},
    "web": lambda path: {"path": "http://127.0.0.1:9/private.jpg", **MARKED},
    "web, not marked": lambda path: {"path": "http://127.0.0.1:9/private.jpg"},
    "web url": lambda path: {"path": str(path), "url": "http://127.0.0.1:9/private.jpg", **MARKED},
    "nul": lambda path: {"path": f"{path}\0.png"},
    "list": lambda path: [{"path": str(path)}],
    "deep": lambda path: [[{"image": {"path": str(path), "meta": {}}, "caption": None}]],
    "editor": lambda path: {"background": {"path": str(path)}, "layers": [], "composite": None},
    "layer": lambda path: {"background": None, "layers": [{"path": str(path), **MARKED}], "composite": None},
    "composite": lambda path: {"background": None, "layers": [], "composite": {"path": str(path)}},
}


@pytest.fixture(scope="module")
def private(tmp_path_factory) -> Path:
    """A picture of this machine that nobody has uploaded."""
    return Path(shutil.copy(PHOTO, tmp_path_factory.mktemp("private") / "private.jpg"))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_file_that_was_not_uploaded_is_refused_by_every_event(server, private, spelling):
    file = SPELLINGS[spelling](private)
    for function in server.page.fns.values():
        for place in range(len(function.inputs)):
            data = [None] * len(function.inputs)
            data[place] = file
            with pytest.raises(gr.Error, match=REFUSED):
                asyncio.run(server.page.process_api(function, data, session_hash="somebody"))


def test_the_server_refuses_such_files_whatever_event_is_called(server, private):
    for one in functions(server):
        for place in range(len(one["inputs"])):
            data = [None] * len(one["inputs"])
            data[place] = SPELLINGS["no meta"](private)
            answer = ask(server, one["id"], data)
            assert not answer["success"] and answer["output"]["error"] == REFUSED, (one["api_name"], place)


def test_what_an_event_says_of_itself_is_checked_too(server, private):
    selected = {"index": 0, "value": {"image": {"path": str(private)}}}
    for one in functions(server):
        answer = ask(server, one["id"], [None] * len(one["inputs"]), event_data=selected, trigger_id=one["inputs"][0])
        assert not answer["success"] and answer["output"]["error"] == REFUSED


@pytest.mark.parametrize("door", ["call", "run", "api"])
def test_programs_get_no_file_that_was_not_uploaded(server, private, door):
    later = [0, 2, 2.0, "48x64", 1]
    for spelling in (SPELLINGS["no meta"], SPELLINGS["web"], SPELLINGS["list"]):
        for name, data in [
            ("segment", [spelling(private), "upper_body"]),
            ("caption", [spelling(private), "upper_body"]),
            ("try_off", [spelling(private), None, "upper_body", "a shirt", *later]),
            ("try_off", [{"path": upload(server, PHOTO)}, spelling(private), "upper_body", "a shirt", *later]),
            ("try_on", [spelling(private), {"path": upload(server, PHOTO)}]),
            ("try_on", [{"path": upload(server, PHOTO)}, spelling(private)]),
            ("try_on", [{"path": upload(server, PHOTO)}] * 2 + [spelling(private)]),
        ]:
            asked = WEB.post(f"{server.address}gradio_api/{door}/{name}", json={"data": data}, timeout=120)
            if door == "call":
                event = asked.json()["event_id"]
                answer = WEB.get(f"{server.address}gradio_api/call/{name}/{event}", timeout=120).text
                assert "event: error" in answer and "event: complete" not in answer
            else:
                assert asked.status_code >= 400


def test_links_out_of_the_uploads_and_results_of_others_are_refused(server, private, models):
    folder = server.folder
    uploaded = Path(upload(server, PHOTO))
    link = uploaded.with_name("link.jpg")
    link.symlink_to(private)
    elsewhere = folder / ("f" * 64)
    elsewhere.symlink_to(private.parent)
    loose = Path(shutil.copy(PHOTO, folder / "loose.jpg"))
    others = server.visits.start("another visitor").folder
    shutil.copy(PHOTO, others / "result.png")
    segment = next(one["id"] for one in functions(server) if one["api_name"] == "segment")
    for path in (link, elsewhere / "private.jpg", loose, others / "result.png", uploaded.parent):
        answer = ask(server, segment, [{"path": str(path), **MARKED}, "upper_body"])
        assert not answer["success"] and answer["output"]["error"] == REFUSED, path
    answer = ask(server, segment, [{"path": str(uploaded), **MARKED}, "upper_body"])
    assert answer["success"]
    link.unlink(), elsewhere.unlink()


def test_a_visitor_may_name_their_own_results_only(models, tmp_path):
    visits = Visits(tmp_path)
    page = build_page(Studio(models, visits, Limits()), [])
    result = Path(shutil.copy(PHOTO, visits.start("a").folder))
    assert page.is_uploaded(str(result), "a")
    assert not page.is_uploaded(str(result), "b") and not page.is_uploaded(str(result), None)


def test_refusals_tell_nothing_about_the_machine(server, private, tmp_path):
    segment = next(one["id"] for one in functions(server) if one["api_name"] == "segment")
    answers = [ask(server, segment, [{"path": str(path)}, "upper_body"]) for path in (private, tmp_path / "absent.jpg")]
    assert answers[0]["output"]["error"] == answers[1]["output"]["error"] == REFUSED


def test_files_of_the_machine_and_of_the_web_are_not_served_and_uploads_are_bounded(server, private):
    for path in (
        ROOT / "README.md",
        "/etc/passwd",
        ROOT / "app.py",
        private,
        "http://127.0.0.1:9/x",
        "file:///etc/passwd",
    ):
        for route in ("gradio_api/file=", "gradio_api/file/", "file="):
            assert WEB.get(f"{server.address}{route}{path}").status_code in (403, 404)
    assert WEB.get(f"{server.address}gradio_api/proxy=http://127.0.0.1:9/x").status_code == 404
    huge = {"files": ("huge.png", b"0" * (2**20 + 1), "image/png")}
    assert WEB.post(f"{server.address}gradio_api/upload", files=huge).status_code == 413


def test_unknown_hosts_and_pages_of_other_sites_are_refused(server):
    get = lambda **headers: WEB.get(f"{server.address}config", headers=headers).status_code
    for host in ("evil.example", "127.0.0.1.evil.example:7860", "localhost@evil.example", "192.168.0.1", "0.0.0.0", ""):
        assert get(host=host) == 421, host
    for host in ("127.0.0.1", "localhost:7860", "LOCALHOST", "[::1]:7860", "page.example"):
        assert get(host=host) == 200, host
    assert get(origin="http://evil.example") == get(origin="null") == 403
    assert get(origin=server.address) == 200


def test_hosts_follow_where_the_server_listens():
    everywhere, one = Hosts("0.0.0.0"), Hosts("shop.local", ["proxy.example"])
    assert everywhere.knows("192.168.0.7:7860") and everywhere.knows("[fe80::1]") and everywhere.knows("localhost")
    assert not everywhere.knows("evil.example") and not everywhere.knows("[fe80")
    assert one.knows("shop.local:80") and one.knows("proxy.example") and not one.knows("192.168.0.7")
    one.add(None), one.add("https://abc.gradio.live/")
    assert one.knows("abc.gradio.live") and not one.knows("abd.gradio.live")


# --- the script -------------------------------------------------------------------------------------------------


def test_safe_by_default():
    args = app.parse_args([])
    assert args.host == "127.0.0.1" and not args.share
    assert args.pretrained_model_name_or_path is None  # the built-in model


def test_a_taken_port_or_a_foreign_host_is_told_before_models_load(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(ArgumentError, match=f"port {port} is taken by another program") as raised:
            app.main(app.parse_args(["--port", str(port), "--pretrained_model_name_or_path", "/absent"]))
        assert raised.value.argument == "port"
    for host in ("192.0.2.1", "no.such.host.invalid"):
        with pytest.raises(ArgumentError, match="is no address of this machine"):
            app.check_address(host, None)
    app.check_address("127.0.0.1", None), app.check_address("0.0.0.0", None)


def test_a_model_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # put back afterwards
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SystemExit, match="2"):
        command_line.run(app.main, app.parse_args(["--pretrained_model_name_or_path", str(tmp_path / "absent")]))
    assert "error: " in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])  # the browser's tests end theirs by SIGTERM
def test_a_signal_in_the_middle_of_a_picture_ends_the_server_cleanly(name, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "app.py"), *save_page_models(tmp_path / "models"), "--port", str(port)]
    with (tmp_path / "log").open("w+") as log:
        number = getattr(signal, name)
        inherited = signal.signal(number, signal.SIG_DFL)  # background jobs ignore SIGINT, and those of nohup SIGHUP
        process = subprocess.Popen(
            [*command, "--device", "cpu"], stderr=log, env=os.environ | {"TMPDIR": str(temporary)}, cwd=ROOT
        )
        signal.signal(number, inherited)
        try:
            wait_for(lambda: "The page is at" in (tmp_path / "log").read_text(), 120)
            client = gradio_client.Client(f"http://127.0.0.1:{port}", verbose=False, download_files=str(tmp_path))
            arguments = (gradio_client.handle_file(PHOTO), None, "upper_body", "a shirt", 0, 100, 2.0, "48x64", 4)
            job = client.submit(*arguments, api_name="/try_off")
            wait_for(lambda: len(job.outputs()) > 2)
            process.send_signal(number)
            assert process.wait(60) == 130
        finally:
            process.kill()
    words = (tmp_path / "log").read_text()
    assert "terminate called" not in words and "Traceback" not in words
    assert not list(temporary.glob(f"{PREFIX}*"))

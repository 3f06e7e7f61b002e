"""The web page without a browser: its parts, its limits, and its endpoints as programs call them."""

import json
import os
import shutil
import signal
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
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
from temu_vtoff.pictures import fit_picture, open_picture
from tests.tiny_page import save_page_models
from web_page.guard import REFUSED, Gate, Hosts
from web_page.handlers import Handlers, Limits
from web_page.layout import build_page
from web_page.models import Models, Settings
from web_page.photos import from_editor, open_upload, to_editor
from web_page.results import cut_out
from web_page.visits import Run, Step, Visits

ROOT = Path(__file__).parent.parent
WEB = httpx.Client(verify=False, timeout=120)  # one for all: each new one reads the certificates
PHOTO = ROOT / "examples" / "example1.jpg"
WAITING = 3  # requests that may wait in the queue
QUICK = (0, 2, 2.0, "48x64", 1)  # seed, steps, guidance, size, pictures of a garment


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Models:
    flags = save_page_models(tmp_path_factory.mktemp("models"))
    return Models.load(app.parse_args([*flags, "--device", "cpu"]))


@pytest.fixture
def handlers(models, tmp_path) -> Handlers:
    return Handlers(models, Visits(tmp_path), Limits(megapixels=2, photos=2))


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    """The page on a free port: its address and the folder of its visits."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        page = build_page(models, Visits(folder), Limits(megapixels=2, photos=2), [])
        page.queue(max_size=WAITING)
        _, address, _ = page.launch(
            server_name="127.0.0.1",
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            max_file_size=2**20,
            app_kwargs={"middleware": [Middleware(Gate, hosts=Hosts("127.0.0.1", ["page.example"]))]},
        )
        yield address, folder
        page.close()


def client(server, folder: Path) -> gradio_client.Client:
    patient = {"timeout": 120}  # on a busy machine
    return gradio_client.Client(server[0], verbose=False, download_files=str(folder), httpx_kwargs=patient)


def visitor(name: str) -> gr.Request:
    return gr.Request(session_hash=name)


# --- parts ------------------------------------------------------------------------------------------------------


def test_editor_gives_back_the_mask_it_was_given():
    photo = Image.effect_noise((90, 120), 80).convert("RGB")
    mask = Image.new("L", photo.size)
    mask.paste(255, (20, 30, 70, 100))
    value = to_editor(photo, mask)
    assert value["background"].size == value["layers"][0].size == (576, 768)
    back = from_editor(value).resize(photo.size, Image.Resampling.NEAREST)
    assert (np.asarray(back) == np.asarray(mask)).all()


@pytest.mark.parametrize("value", [None, {"layers": []}, {"layers": [Image.new("RGBA", (8, 8), (255, 0, 0, 9))]}])
def test_an_empty_mask_is_told(value):
    with pytest.raises(ValueError, match="mask is empty"):
        from_editor(value)


def test_cut_out_is_transparent_outside_and_holds_white_cloth():
    product = Image.new("RGB", (40, 40), "white")
    product.paste((200, 30, 30), (10, 10, 30, 30))
    product.paste("white", (15, 15, 25, 25))  # a white print on a red shirt
    alpha = np.asarray(cut_out(product).getchannel("A"))
    assert (alpha[10:30, 10:30] == 255).all() and (alpha == 255).sum() == 400


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


def test_a_run_tells_its_steps_and_passes_errors_on():
    run = Run()
    assert [step.share for step in run.follow(lambda: [run.tell(Step(x, "")) for x in (0.1, 0.5)])] == [0.1, 0.5]
    assert run.result() == [True, True]
    run.stopped.set()
    list(run.follow(lambda: run.tell(Step(1, ""))))
    assert run.result() is False
    list(run.follow(lambda: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        run.result()


def test_a_visit_keeps_its_latest_files_only(tmp_path):
    visits = Visits(tmp_path)
    first, folder = visits.start("a")
    (folder / "picture.png").touch()
    _, other = visits.start("b")
    second, _ = visits.start("a")
    assert first.stopped.is_set() and not second.stopped.is_set() and not folder.exists() and other.exists()
    assert visits.stop("a") and second.stopped.is_set() and not visits.stop("nobody")
    visits.leave("a"), visits.leave("b")
    assert not list(tmp_path.iterdir())


# --- models and handlers ----------------------------------------------------------------------------------------


def test_previews_end_in_the_picture_and_false_ends_the_loop(models):
    photo, settings = open_picture(PHOTO), Settings(48, 64, steps=9)
    mask, seen = Image.new("L", photo.size, 255), []
    models.try_off(photo, mask, "a shirt", settings, lambda *step: seen.append(step) or True)
    assert [step[:2] for step in seen] == [(n, 9) for n in range(1, 10)]
    assert [step[2].size for step in seen if step[2] is not None] == [(48, 64)] * 8
    product = models.try_off(photo, mask, "a shirt", settings, lambda *step: True)[0]
    difference = np.abs(np.asarray(seen[-1][2], float) - np.asarray(product, float))
    assert difference.max() <= 1  # by the last step the estimate is the result
    seen.clear()
    models.try_off(photo, mask, "a shirt", settings, lambda *step: seen.append(step) or len(seen) < 3)
    assert len(seen) == 3


def test_the_page_and_the_pipeline_agree(models):
    import torch

    photo = open_picture(PHOTO)
    mask = Image.new("L", photo.size)
    mask.paste(255, (100, 100, 300, 400))
    ours = models.try_off(photo, mask, "a shirt", Settings(48, 64, steps=2, seed=7), lambda *step: True)[0]
    fitted = fit_picture(mask, 48, 64, fill=0, resample=Image.Resampling.NEAREST)
    theirs = models.pipe(
        fit_picture(photo, 48, 64),
        mask=fitted,
        prompt="a shirt",
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    assert np.array_equal(ours, theirs)


def test_sizes_have_the_models_shape(models):
    for width, height in models.sizes():
        models.own_size.choose(width, height)
        assert width * models.own_size.height == height * models.own_size.width
    assert (models.own_size.width, models.own_size.height) in models.sizes()


def test_one_photo_from_upload_to_zip(handlers, tmp_path):
    category, editor = handlers.look(str(PHOTO), "lower_body")
    assert category == "upper_body"  # what the photo shows goes before what is chosen
    caption = handlers.write_caption(str(PHOTO), category)
    assert caption
    *steps, last = handlers.make(visitor("a"), str(PHOTO), editor, category, caption, [], 0, 3, 2.0, "48x64", 2)
    assert len(steps) == 4 and "step 3 of 3" in steps[-1][0] and any(isinstance(step[1], tuple) for step in steps)
    status, slider, several, results, white, cutout, archive, history = last
    assert status == "" and len(results) == len(history) == 2 and several.visible
    assert slider[0].size == slider[1].size == (576, 768)
    assert np.array_equal(Image.open(white.value["path"]), results[0].product)
    assert Image.open(cutout.value["path"]).mode == "RGBA"
    with zipfile.ZipFile(archive.value["path"]) as files:
        assert len(files.namelist()) == 5 and caption in files.read("captions.txt").decode()
    chosen = handlers.choose(results, 1)
    assert np.array_equal(Image.open(chosen[1].value["path"]), results[1].product)


def test_stop_ends_the_loop_between_two_steps(handlers):
    editor, seen = to_editor(open_picture(PHOTO), Image.new("L", (384, 512), 255)), []
    making = handlers.make(visitor("a"), str(PHOTO), editor, "upper_body", "", [], 0, 100, 2.0, "48x64", 4)
    for shown in making:
        seen.append(shown)
        if len(seen) == 3:
            handlers.stop(visitor("another"))
        if len(seen) == 5:
            handlers.stop(visitor("a"))
    assert 5 < len(seen) < 100 and seen[-1][:2] == ("", None)
    *_, last = handlers.make(visitor("a"), str(PHOTO), editor, "upper_body", "", [], *QUICK)
    assert last[3]  # the next one works again


def test_several_photos_survive_a_bad_one(handlers, tmp_path):
    bad = tmp_path / "bad <b>.png"
    bad.write_text("no picture")
    *_, (status, gallery, archive, left_out) = handlers.make_many(visitor("a"), [str(bad), str(PHOTO)], "all", *QUICK)
    assert status == "" and len(gallery) == 1 and "bad &lt;b&gt;.png" in left_out
    with zipfile.ZipFile(archive.value["path"]) as files:
        names = {"example1_upper_body.png", "example1_upper_body_cutout.png", "captions.txt"}
        assert set(files.namelist()) == names
    with pytest.raises(gr.Error, match="at most 2"):
        list(handlers.make_many(visitor("a"), [str(PHOTO)] * 3, "all", *QUICK))
    with pytest.raises(gr.Error, match="no photo yet"):
        list(handlers.make_many(visitor("a"), None, "all", *QUICK))


def test_mistakes_are_one_sentence_and_faults_are_hidden(handlers, models, monkeypatch):
    with pytest.raises(gr.Error, match="there is no photo yet"):
        list(handlers.make(visitor("a"), None, None, "upper_body", "", [], *QUICK))
    with pytest.raises(gr.Error, match="the mask is empty"):
        list(handlers.make(visitor("a"), str(PHOTO), None, "upper_body", "", [], *QUICK))
    with pytest.raises(gr.Error, match="seed is -1"):
        list(handlers.make(visitor("a"), str(PHOTO), None, "upper_body", "", [], -1, *QUICK[1:]))

    def broken(*_):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(models, "captioner", broken)
    with pytest.raises(gr.Error, match="something went wrong") as told:
        handlers.write_caption(str(PHOTO), "upper_body")
    assert "secret" not in str(told.value)


# --- endpoints --------------------------------------------------------------------------------------------------


def test_programs_can_segment_caption_and_try_off(server, tmp_path):
    ours, photo = client(server, tmp_path), gradio_client.handle_file(PHOTO)
    named = ours.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/segment", "/caption", "/try_off", "/stop"}
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


def test_a_full_queue_turns_visitors_away_and_keeps_its_promises(server, models, tmp_path, monkeypatch):
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
    for waiting in range(1, WAITING + 1):
        jobs.append(ask())
        wait_for(lambda: WEB.get(f"{server[0]}gradio_api/queue/status").json()["queue_size"] == waiting)  # noqa: B023
    with pytest.raises(Exception, match=r"(?i)queue is full"):
        ask().result(timeout=60)
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
        (PHOTO, "lower_body", "There is no lower_body garment"),
        (PHOTO, "shoes", "not in the list of choices"),
    ]:
        with pytest.raises(Exception, match=complaint) as told:
            ours.predict(gradio_client.handle_file(path), category, api_name="/segment")
        assert str(server[1]) not in str(told.value)


def upload(server, path: Path) -> str:
    """Uploads a file as the page does; its path on the server."""
    with path.open("rb") as file:
        return WEB.post(f"{server[0]}gradio_api/upload", files={"files": (path.name, file)}).json()[0]


def ask(server, function: int, data: list, visitor: str = "somebody", **more) -> dict:
    """The last message of an event, public or private, as the page sends it."""
    body = {"data": data, "fn_index": function, "session_hash": visitor, **more}
    WEB.post(f"{server[0]}gradio_api/queue/join", json=body).raise_for_status()
    with WEB.stream("GET", f"{server[0]}gradio_api/queue/data?session_hash={visitor}") as lines:
        for line in lines.iter_lines():
            if line.startswith("data:") and (message := json.loads(line[5:]))["msg"] == "process_completed":
                return message
    raise AssertionError("no answer")


def functions(server) -> list[dict]:
    """All events of the page that take something."""
    return [one for one in WEB.get(f"{server[0]}config").json()["dependencies"] if one["inputs"]]


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
    for one in functions(server):
        for place in range(len(one["inputs"])):
            data = [None] * len(one["inputs"])
            data[place] = file
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
    for spelling in SPELLINGS.values():
        for name, data in [
            ("segment", [spelling(private), "upper_body"]),
            ("caption", [spelling(private), "upper_body"]),
            ("try_off", [spelling(private), None, "upper_body", "a shirt", *later]),
            ("try_off", [{"path": upload(server, PHOTO)}, spelling(private), "upper_body", "a shirt", *later]),
        ]:
            asked = WEB.post(f"{server[0]}gradio_api/{door}/{name}", json={"data": data})
            if door == "call":
                event = asked.json()["event_id"]
                answer = WEB.get(f"{server[0]}gradio_api/call/{name}/{event}").text
                assert "event: error" in answer and "event: complete" not in answer
            else:
                assert asked.status_code >= 400


def test_links_out_of_the_uploads_and_results_of_others_are_refused(server, private, models):
    folder = server[1]
    uploaded = Path(upload(server, PHOTO))
    link = uploaded.with_name("link.jpg")
    link.symlink_to(private)
    elsewhere = folder / ("f" * 64)
    elsewhere.symlink_to(private.parent)
    loose = Path(shutil.copy(PHOTO, folder / "loose.jpg"))
    others = folder / "tmp_of_another_visitor"
    others.mkdir()
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
    page = build_page(models, visits, Limits(), [])
    _, folder = visits.start("a")
    result = Path(shutil.copy(PHOTO, folder))
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
            assert WEB.get(f"{server[0]}{route}{path}").status_code in (403, 404)
    assert WEB.get(f"{server[0]}gradio_api/proxy=http://127.0.0.1:9/x").status_code == 404
    huge = {"files": ("huge.png", b"0" * (2**20 + 1), "image/png")}
    assert WEB.post(f"{server[0]}gradio_api/upload", files=huge).status_code == 413


def test_unknown_hosts_and_pages_of_other_sites_are_refused(server):
    get = lambda **headers: WEB.get(f"{server[0]}config", headers=headers).status_code
    for host in ("evil.example", "127.0.0.1.evil.example:7860", "localhost@evil.example", "192.168.0.1", "0.0.0.0", ""):
        assert get(host=host) == 421, host
    for host in ("127.0.0.1", "localhost:7860", "LOCALHOST", "[::1]:7860", "page.example"):
        assert get(host=host) == 200, host
    assert get(origin="http://evil.example") == get(origin="null") == 403
    assert get(origin=server[0]) == 200


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


def test_a_model_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # put back afterwards
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SystemExit, match="2"):
        command_line.run(app.main, app.parse_args(["--pretrained_model_name_or_path", str(tmp_path / "absent")]))
    assert "error: " in capsys.readouterr().err and not list(tmp_path.iterdir())

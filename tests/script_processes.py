"""Scripts as processes of their own that start quickly, because their server has imported torch already.

They can be killed like any other, and started together as `accelerate launch` starts them.
"""

import importlib
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).parent.parent

os.environ["PYTHONPATH"] = str(ROOT)  # for the server, which is started with the first process
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.script_preload"])

# For what is run as a reader types it, and only has to run: the built-in model takes 2 s for the 28 steps of a picture.
FEWER_STEPS = """
from dataclasses import replace
from temu_vtoff.tryoff.presets import PRESETS
PRESETS.update({{name: replace(preset, steps=min(preset.steps, {steps})) for name, preset in PRESETS.items()}})
"""


def start(script: str, argv: Sequence[object], environment: dict[str, str] | None = None) -> BaseProcess:
    """Starts a script's main, by module name, with the given flags."""
    words = [str(word) for word in argv]
    process = _context.Process(target=_run, args=(script, words, environment or {}, os.getpid()))
    process.start()
    return process


def run(script: str, argv: Sequence[object], processes: int = 1) -> int:
    """Runs a script to its end, on several processes as under a launcher; the largest exit status."""
    port = free_port()
    started = [
        start(script, argv, environment_of(rank, processes, port) if processes > 1 else None)
        for rank in range(processes)
    ]
    for process in started:
        process.join(timeout=240)
    return max(process.exitcode for process in started)


def python(
    words: Sequence[object], folder: Path, seconds: float = 600, steps: int | None = None
) -> subprocess.CompletedProcess:
    """Runs `python WORDS` in a folder, words as in a shell: a script, or -m and a module, or -c and code.

    Args:
        steps: Of denoising at most, where the command doesn't name them.
    """
    words = [str(word) for word in words]
    with tempfile.TemporaryDirectory() as kept:
        printed, errors = Path(kept) / "stdout", Path(kept) / "stderr"
        process = start_python(words, folder, printed, errors, steps)
        process.join(seconds)
        process.kill()
        process.join()
        texts = (path.read_text(encoding="utf-8") for path in (printed, errors))
        return subprocess.CompletedProcess(words, process.exitcode, *texts)


def run_python(words: Sequence[object], folder: Path, steps: int | None = None) -> str:
    """What `python WORDS` prints; it must end well."""
    answer = python(words, folder, steps=steps)
    assert answer.returncode == 0, f"{words}: {answer.stderr[-2000:]}"
    return answer.stdout


def start_python(
    words: Sequence[str], folder: Path, printed: Path, errors: Path, steps: int | None = None
) -> BaseProcess:
    """Starts `python WORDS` in a folder; what it prints goes to two files."""
    process = _context.Process(target=_as_python, args=(list(words), folder, printed, errors, steps, os.getpid()))
    process.start()
    return process


def environment_of(rank: int, processes: int, port: int) -> dict[str, str]:
    """What a launcher gives to one of its processes."""
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}


def kill_after(process: BaseProcess, seconds: float) -> bool:
    """SIGKILL after some time; whether the process was still running then."""
    process.join(timeout=seconds)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


def kill_when(process: BaseProcess, reached: Callable[[], bool]) -> bool:
    """SIGKILL at the moment when something is so; whether the process was still running then."""
    while process.is_alive() and not reached():
        time.sleep(0.002)
    return kill_after(process, 0)


def contents(folder: Path, *patterns: str) -> dict[str, bytes]:
    """The bytes of a folder's files, by relative path."""
    return {str(p.relative_to(folder)): p.read_bytes() for pattern in patterns for p in sorted(folder.rglob(pattern))}


def _run(script: str, argv: list[str], environment: dict[str, str], tests: int) -> None:
    os.environ.update(environment)
    _settle(tests)
    import command_line

    module = importlib.import_module(script)
    command_line.run(module.main, module.parse_args(argv))


def _as_python(words: list[str], folder: Path, printed: Path, errors: Path, steps: int | None, tests: int) -> None:
    for stream, path in ((sys.stdout, printed), (sys.stderr, errors)):
        path.touch()
        os.dup2(os.open(path, os.O_WRONLY), stream.fileno())
    os.chdir(folder)
    _settle(tests)
    if steps is not None:
        exec(FEWER_STEPS.format(steps=steps), {})
    kind, *rest = words
    if kind == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif kind == "-m":
        sys.argv, sys.path[0] = rest, str(folder)
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = words, str(Path(kind).resolve().parent)
        runpy.run_path(kind, run_name="__main__")


def _settle(tests: int) -> None:
    """What the environment of a process of its own would say; and that it ends with the process of the tests."""
    Thread(target=_end_with, args=(tests,), daemon=True).start()
    multiprocessing.set_start_method(None, force=True)  # else reading processes come from another slow server
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    torch.set_num_threads(1)


def _end_with(process: int) -> None:
    """Ends this process when another one is gone: when tests are killed, nobody else ends what they started."""
    while True:
        time.sleep(2)
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            os._exit(1)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

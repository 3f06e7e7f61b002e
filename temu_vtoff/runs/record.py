"""run.json: arguments, versions and costs of the run whose results are beside it."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import temu_vtoff
from temu_vtoff.files import write_text

_PACKAGES = ("torch", "torchvision", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "pillow")


def write_run_record(folder: str | Path, arguments: Mapping[str, Any], started: float, **facts: Any) -> Path:
    """Writes run.json beside the results; the arguments are those of `run_record`."""
    path = Path(folder) / "run.json"
    write_text(path, run_record(arguments, started, **facts))
    return path


def run_record(arguments: Mapping[str, Any], started: float, **facts: Any) -> str:
    """The content of run.json: arguments, versions, commit, seconds, memory, and the given facts.

    Args:
        arguments: The run's settings by name, `vars(args)` of a script.
        started: `time.time()` at the start.
        facts: Further entries: model ids, seeds, items.
    """
    record = {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "arguments": {key: str(value) if isinstance(value, Path) else value for key, value in arguments.items()},
        **facts,
        "seconds": round(time.time() - started, 2),
        "peak_memory_mb": peak_memory_mb(),
        **made_by(),
    }
    return json.dumps(record, indent=1, default=str) + "\n"


def made_by() -> dict[str, Any]:
    """Commit and version of this code, and the versions of its libraries."""
    return {
        "commit": _commit(),
        "version": temu_vtoff.__version__,
        "python": platform.python_version(),
        "versions": {name: v for name in _PACKAGES if (v := _version(name))},
        "platform": platform.platform(),
    }


def peak_memory_mb() -> dict[str, int]:
    """The most that this process has held so far, of the host's memory and of the GPU's, in MiB."""
    memory = {}
    try:
        import resource

        scale = 1024 if sys.platform != "darwin" else 1024**2
        memory["host"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // scale
    except ImportError:  # Windows
        pass
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        memory["cuda"] = torch.cuda.max_memory_allocated() // 1024**2
    return memory


def _commit() -> str | None:
    """The checkout's commit; None for an installed copy, which may lie inside another project's repository."""
    checkout = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(checkout), "rev-parse", "--show-toplevel", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode:
        return None
    root, commit = answer.stdout.splitlines()
    return commit if Path(root).resolve() == checkout else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

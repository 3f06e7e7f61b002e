"""What the scripts share: errors as one sentence, choice of device and dtype, and the record of a run."""

import json
import os
import platform
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MIXED_PRECISION = ("no", "fp16", "bf16")
_PACKAGES = ("torch", "torchvision", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "pillow")


def run(main: Callable[[Namespace], int | None], args: Namespace) -> None:
    """Runs a script's main and ends the process: status 0 or what main returns, 2 for a user's mistake.

    Args:
        main: Takes the parsed arguments; returns an exit status, or None for success.
        args: Its `debug` attribute, when true, lets the traceback through.
    """
    try:
        status = main(args)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        status = 130
    except Exception as error:
        if getattr(args, "debug", False):
            raise
        sentence = explain(error)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        status = 2
    sys.exit(status or 0)


def explain(error: BaseException) -> str | None:
    """One sentence for an error that a user can mend, or None for one of ours."""
    if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
        return (
            "out of memory: try --offload model (or sequential), a smaller --width and --height, fewer pictures at "
            "once, or --mixed_precision bf16."
        )
    if isinstance(error, PermissionError):
        return f"{error.filename} can't be written or read: permission denied."
    if isinstance(error, OSError) and error.errno == 28:
        return f"the disk is full: {error.filename or 'nothing more can be written'}."
    if isinstance(error, (ValueError, FileNotFoundError, NotADirectoryError, FileExistsError)):
        return " ".join(str(error).split())
    return None


def writable_folder(path: str | Path) -> Path:
    """The folder, made when absent.

    Raises:
        ValueError: It can't be made or written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the output folder {folder} can't be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"the output folder {folder} is not writable.")
    return folder


def choose_device(name: str | None = None) -> "torch.device":
    """The device by name, or the best there is: CUDA, then Apple's MPS, then the CPU.

    Raises:
        ValueError: The named device is unknown or absent.
    """
    import torch

    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device {name} is no device; give cpu, cuda, cuda:1 or mps.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {name} was asked for, but torch sees {torch.cuda.device_count()} CUDA devices.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"--device {name} was asked for, but this machine has no MPS.")
    return device


def choose_dtype(mixed_precision: str | None, device: "torch.device") -> "torch.dtype":
    """The compute dtype of `--mixed_precision`; left unset, bf16 on a GPU and float32 elsewhere."""
    import torch

    if mixed_precision is None:
        mixed_precision = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "no"
    return {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[mixed_precision]


def write_run_record(folder: str | Path, args: Namespace, started: float, **facts: Any) -> Path:
    """Writes run.json beside the results: arguments, versions, commit, seconds, memory, and the given facts.

    Args:
        started: `time.time()` at the start.
        facts: What only the script knows: model ids, seeds, items.
    """
    record = {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "arguments": {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()},
        **facts,
        "seconds": round(time.time() - started, 2),
        "peak_memory_mb": _peak_memory_mb(),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: v for name in _PACKAGES if (v := _version(name))},
        "platform": platform.platform(),
    }
    path = Path(folder) / "run.json"
    write_text(path, json.dumps(record, indent=1, default=str) + "\n")
    return path


def write_text(path: Path, text: str) -> None:
    """Writes a text file under a temporary name and renames it, so that no reader meets half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _peak_memory_mb() -> dict[str, int]:
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
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

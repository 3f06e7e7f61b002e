"""The folder of a run: checkpoints that resume, weights that the pipeline opens, and the record of what happened.

checkpoints/step-000500/   weights, optimizer, averages: everything that resuming needs
transformer/ ...           the latest (averaged) weights, in the published layout
best/transformer/ ...      those of the lowest validation loss
metrics.jsonl              one row per logged step
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from temu_vtoff.files import write_text

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_STATE = "training_state.json"


class RunFolder:
    """Reads and writes one run's folder.

    Args:
        path: Made when absent.
        keep_last: Checkpoints kept beside the best one; None keeps all.
    """

    def __init__(self, path: str | Path, keep_last: int | None = 2) -> None:
        self.path, self.keep_last = Path(path), keep_last
        self.metrics_path = self.path / "metrics.jsonl"
        self._lock: IO[str] | None = None
        (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)

    def lock(self) -> None:
        """Keeps other processes from training in this folder, until `unlock` or the process's end, however it ends.

        Raises:
            FileExistsError: Another process is at it.
        """
        if fcntl is None:
            return
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise FileExistsError(
                f"Another process is training in {self.path}: wait for its end, or name another --output_dir."
            ) from None

    def unlock(self) -> None:
        """Lets other processes train in this folder."""
        if self._lock is not None:
            self._lock.close()

    def checkpoints(self) -> list[Path]:
        """Finished checkpoints, oldest first."""
        return sorted(p for p in (self.path / "checkpoints").glob("step-*") if (p / _STATE).is_file())

    def find_checkpoint(self, wanted: str | Path) -> Path | None:
        """The checkpoint to resume from, or None when "latest" finds none.

        Args:
            wanted: "latest", a checkpoint's name, or its path.

        Raises:
            FileNotFoundError: There is no such checkpoint.
        """
        found = self.checkpoints()
        if str(wanted) == "latest":
            return found[-1] if found else None
        for path in (self.path / "checkpoints" / wanted, Path(wanted)):
            if (path / _STATE).is_file():
                return path
        names = ", ".join(p.name for p in found) if found else "none"
        raise FileNotFoundError(f"There is no finished checkpoint {wanted}; {self.path} has: {names}.")

    def save_checkpoint(
        self,
        step: int,
        write: Callable[[Path], object],
        state: dict[str, Any],
        is_main: bool = True,
        barrier: Callable[[], None] = lambda: None,
    ) -> Path:
        """Writes a checkpoint under a temporary name, renames it, and drops what is older than the last K.

        Args:
            write: Called in every process with the temporary folder; writes weights, optimizer and so on into it.
            state: What is small and worth reading: losses so far, the best step.
            is_main: Whether this process makes, renames and deletes folders.
            barrier: Waits for all processes.

        Raises:
            OSError: The disk is full or the folder can't be written; earlier checkpoints are untouched.
        """

        def write_all(folder: Path) -> None:
            write(folder)
            if is_main:
                write_text(folder / _STATE, json.dumps(state | {"step": step}, indent=1) + "\n")

        final = self.path / "checkpoints" / _name(step)
        write_folder(final, write_all, is_main, barrier)
        if is_main and self.keep_last is not None:
            for old in self.checkpoints()[: -self.keep_last]:
                if old.name != _name(state.get("best_step")):
                    shutil.rmtree(old, ignore_errors=True)
        return final

    def read_state(self, checkpoint: Path) -> dict[str, Any]:
        """What `save_checkpoint` was given as `state`, with "step"."""
        return json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))

    def log(self, **row: float) -> None:
        """Appends a row to metrics.jsonl."""
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def loss_range(self) -> tuple[float, float]:
        """The first and the latest row's loss; not numbers before anything was logged."""
        rows = self.metrics_path.read_text().splitlines() if self.metrics_path.is_file() else []
        losses = [row["loss"] for row in map(json.loads, rows) if "loss" in row]
        return (losses[0], losses[-1]) if losses else (float("nan"), float("nan"))

    def rewind_log(self, step: int) -> None:
        """Forgets the rows after a step: a resumed run will write them anew."""
        if self.metrics_path.is_file():
            kept = [line for line in self.metrics_path.read_text().splitlines() if _step_of(line) <= step]
            write_text(self.metrics_path, "".join(line + "\n" for line in kept))


def write_folder(
    final: Path,
    write: Callable[[Path], object],
    is_main: bool = True,
    barrier: Callable[[], None] = lambda: None,
) -> None:
    """Fills a folder under a temporary name and puts it in place of the final one, whole or not at all.

    Args:
        write: Called in every process with the temporary folder.
        is_main: Whether this process makes, renames and deletes folders.
        barrier: Waits for all processes.

    Raises:
        OSError: It could not be written; a full disk always has errno ENOSPC. Nothing is left of the attempt.
    """
    temporary, old = (final.with_name(f".{final.name}.{suffix}") for suffix in ("tmp", "old"))
    if is_main:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    barrier()
    try:
        write(temporary)
        barrier()
        if is_main:
            shutil.rmtree(old, ignore_errors=True)
            if final.exists():
                final.replace(old)
            temporary.replace(final)
            shutil.rmtree(old, ignore_errors=True)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if "no space left" in str(error).lower() or "file write failed" in str(error).lower():
            raise OSError(errno.ENOSPC, "No space left on device", str(final)) from error
        raise
    barrier()


def _name(step: int | None) -> str:
    return f"step-{step:06d}" if step is not None else ""


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except ValueError:  # the last line of a killed process may be cut short
        return float("inf")

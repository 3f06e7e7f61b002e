"""The folder of a run: checkpoints that resume, weights that the pipeline opens, and the log.

checkpoints/step-000500/   weights, optimizer, averages: everything that resuming needs
transformer/ ...           the latest (averaged) weights, in the published layout
best/transformer/ ...      those of the lowest validation loss
metrics.jsonl              one row per logged step
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from temu_vtoff.errors import ArgumentError
from temu_vtoff.files import write_text

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

logger = logging.getLogger(__name__)

_STATE = "training_state.json"
_ZIPPED = (".bin", ".pkl", ".pt")  # formats of torch.save


class RunFolder:
    """Reads and writes one run's folder.

    Args:
        path: Created if absent.
        keep_last: Number of checkpoints kept, not counting the best one; None keeps all.
    """

    def __init__(self, path: str | Path, keep_last: int | None = 2) -> None:
        self.path, self.keep_last = Path(path), keep_last
        self.metrics_path = self.path / "metrics.jsonl"
        (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self, is_main: bool = True) -> Iterator[None]:
        """Within the context no other run can use this folder.

        Args:
            is_main: Whether this process holds the lock for its run.

        Raises:
            ArgumentError: Another process trains in it.
        """
        if fcntl is None or not is_main:
            yield
            return
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ArgumentError(
                    f"Another process is training in {self.path}: wait until it ends, or name another {{output_dir}}.",
                    "output_dir",
                ) from None
            yield

    def checkpoints(self) -> list[Path]:
        """Finished checkpoints, oldest first."""
        return sorted(p for p in (self.path / "checkpoints").glob("step-*") if (p / _STATE).is_file())

    def find_checkpoint(self, wanted: str | Path) -> Path | None:
        """The checkpoint to resume from, or None when "latest" finds none.

        Args:
            wanted: "latest", a checkpoint's name, or its path.

        Raises:
            ArgumentError: There is no such checkpoint, or one of its files is damaged; the message then names the last
                one that is whole.
        """
        found = self.checkpoints()
        if str(wanted) == "latest":
            if not found:
                return None
            chosen = found[-1]
        else:
            named = (self.path / "checkpoints" / wanted, Path(wanted))
            chosen = next((path for path in named if (path / _STATE).is_file()), None)
        if chosen is None:
            names = ", ".join(p.name for p in found) if found else "none"
            raise ArgumentError(
                f"{{resume_from_checkpoint}}: there is no finished checkpoint {wanted}; {self.path} has: {names}.",
                "resume_from_checkpoint",
            )
        if (damage := find_damage(chosen)) is not None:
            raise self.damaged_checkpoint(chosen, damage)
        return chosen

    def damaged_checkpoint(self, checkpoint: Path, damage: str) -> ArgumentError:
        """The error for a damaged checkpoint; its message names the last one that is whole."""
        others = [path for path in reversed(self.checkpoints()) if path != checkpoint and find_damage(path) is None]
        if others:
            remedy = f"resume from the last one that is whole, {{resume_from_checkpoint}} {others[0].name}."
        else:
            remedy = "no other checkpoint is whole, so start again in another {output_dir}."
        return ArgumentError(
            f"The checkpoint {checkpoint.name} can't be resumed: {damage}; {remedy}",
            "resume_from_checkpoint",
            "output_dir",
        )

    def save_checkpoint(
        self,
        step: int,
        write: Callable[[Path], object],
        state: dict[str, Any],
        is_main: bool = True,
        barrier: Callable[[], None] = lambda: None,
    ) -> Path:
        """Writes a checkpoint under a temporary name, renames it, and deletes old ones but the best.

        Args:
            write: Called in every process with the temporary folder; writes weights, optimizer and so on into it.
            state: Small values as JSON: losses so far, the best step.
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
        """The `state` that `save_checkpoint` was given, with "step"."""
        return json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))

    def log(self, **row: float) -> None:
        """Appends a row to metrics.jsonl."""
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def loss_range(self) -> tuple[float, float]:
        """The first and the latest row's loss; NaN before anything was logged."""
        losses = [row["loss"] for row in read_log(self.metrics_path) if "loss" in row]
        return (losses[0], losses[-1]) if losses else (float("nan"), float("nan"))

    def rewind_log(self, step: int) -> None:
        """Drops the rows after a step: a resumed run will write them again."""
        if self.metrics_path.is_file():
            kept = [row for row in read_log(self.metrics_path) if row["step"] <= step]
            write_text(self.metrics_path, "".join(json.dumps(row) + "\n" for row in kept))


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a metrics.jsonl; none without the file. A damaged row, as a kill leaves at the end, is skipped with a
    warning."""
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.is_file() else [], 1):
        try:
            row = json.loads(line)
            rows.append(row | {"step": row["step"]})
        except (ValueError, TypeError, KeyError, RecursionError):
            logger.warning("%s, line %d is damaged and left out.", path, number)
    return rows


def find_damage(checkpoint: Path) -> str | None:
    """What is wrong with the first damaged file of a checkpoint, or None. Reads headers only."""
    for path in sorted(p for p in checkpoint.rglob("*") if p.is_file()):
        if path.stat().st_size == 0:
            return f"{path} is empty"
        try:
            if path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".safetensors":
                safe_open(path, framework="pt").__enter__()
        except (ValueError, RecursionError, SafetensorError) as error:
            return f"{path} is damaged ({error})"
        if path.suffix in _ZIPPED and not zipfile.is_zipfile(path):
            return f"{path} is damaged (its end is missing)"
    return None


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

"""The folder of a run: checkpoints, lock and log."""

import errno
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from temu_vtoff.training.run_folder import RunFolder, write_folder


def save(run: RunFolder, step: int, best_step: int | None = None) -> Path:
    return run.save_checkpoint(
        step, lambda folder: (folder / "weights").write_text(str(step)), {"best_step": best_step}
    )


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path):
    run = RunFolder(tmp_path, keep_last=2)
    for step in (10, 20, 30, 40):
        save(run, step, best_step=10)
    assert [p.name for p in run.checkpoints()] == ["step-000010", "step-000030", "step-000040"]
    assert run.find_checkpoint("latest").name == "step-000040"
    assert run.find_checkpoint("step-000010").name == "step-000010"
    with pytest.raises(ValueError, match=r"step-000020.*step-000040"):
        run.find_checkpoint("step-000020")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("file write failed")])
def test_a_full_disk_costs_the_new_checkpoint_only(tmp_path, error):
    run = RunFolder(tmp_path)
    save(run, 10)

    def write(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise error

    with pytest.raises(OSError) as caught:
        run.save_checkpoint(20, write, {})
    assert caught.value.errno == errno.ENOSPC
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000010"]


def test_two_runs_never_share_a_folder(tmp_path):
    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    with first.locked():
        with second.locked(is_main=False):  # a helper of the process that holds the lock
            pass
        with pytest.raises(ValueError, match="Another process"), second.locked():
            pass
    with second.locked():
        pass


def test_a_folder_is_replaced_whole(tmp_path):
    for text in ("one", "two"):
        write_folder(tmp_path / "x", lambda folder, text=text: (folder / text).write_text(text))
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_rows_after_the_checkpoint_are_dropped_and_damaged_ones_too(tmp_path, caplog):
    run = RunFolder(tmp_path)
    assert all(map(math.isnan, run.loss_range()))
    run.log(step=1, loss=0.5)
    with run.metrics_path.open("ab") as file:
        file.write(b'\xff\n\n[1]\n{"loss": 0.1}\n')
    for step in (2, 3):
        run.log(step=step, loss=0.5 / step)
    with run.metrics_path.open("a") as file:
        file.write('{"step": 4, "lo')
    assert run.loss_range() == (0.5, 0.5 / 3)
    assert any("metrics.jsonl, line 2 is damaged" in message for message in caplog.messages)
    run.rewind_log(2)
    assert run.metrics_path.read_text().splitlines() == ['{"step": 1, "loss": 0.5}', '{"step": 2, "loss": 0.25}']


FILES = {
    "training_state.json": lambda path: path.write_text(json.dumps({"step": 1})),
    "model.safetensors": lambda path: save_file({"weight": torch.arange(64.0)}, path),
    "optimizer.bin": lambda path: torch.save({"moment": torch.arange(64.0)}, path),
}


def save_whole(run: RunFolder, step: int) -> Path:
    return run.save_checkpoint(step, lambda folder: [make(folder / name) for name, make in FILES.items()], {})


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_file_of_a_checkpoint_is_named_with_the_last_whole_one(tmp_path, name, kept):
    run = RunFolder(tmp_path, keep_last=None)
    for step in (10, 20, 30):
        damaged = save_whole(run, step) / name
    assert run.find_checkpoint("latest").name == "step-000030"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: int(kept * len(whole))])
    for wanted in ("latest", "step-000030"):
        with pytest.raises(ValueError, match=f"step-000030/{name}.*resume_from_checkpoint step-000020"):
            run.find_checkpoint(wanted)
    assert run.find_checkpoint("step-000020").name == "step-000020"
    for checkpoint in run.checkpoints()[:2]:
        (checkpoint / name).write_bytes(b"")
    with pytest.raises(ValueError, match="no other checkpoint is whole"):
        run.find_checkpoint("latest")

"""The folder of a run: checkpoints, lock and log."""

import errno
from pathlib import Path

import pytest

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
    with pytest.raises(FileNotFoundError, match=r"step-000020.*step-000040"):
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
    first.lock()
    with pytest.raises(FileExistsError, match="Another process"):
        second.lock()
    first.unlock()
    second.lock()


def test_a_folder_is_replaced_whole(tmp_path):
    for text in ("one", "two"):
        write_folder(tmp_path / "x", lambda folder, text=text: (folder / text).write_text(text))
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_rows_after_the_checkpoint_are_forgotten_and_half_rows_too(tmp_path):
    run = RunFolder(tmp_path)
    for step in (1, 2, 3):
        run.log(step=step, loss=0.5)
    with run.metrics_path.open("a") as file:
        file.write('{"step": 4, "lo')
    run.rewind_log(2)
    assert run.metrics_path.read_text().splitlines() == [
        '{"step": 1, "loss": 0.5}',
        '{"step": 2, "loss": 0.5}',
    ]

"""Files written whole, and what ended processes leave behind."""

import os
import subprocess
import sys
from pathlib import Path

from temu_vtoff import files

KILLED = """
import os, signal, sys
from temu_vtoff.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half a pictu")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.png")], cwd=Path(files.__file__).parents[1])
    (leftover,) = tmp_path.iterdir()
    elsewhere = tmp_path / leftover.name.replace(files._machine(), "0" * 8)  # the process number says nothing here
    elsewhere.write_bytes(b"")
    kept = {elsewhere, tmp_path / ".temu-notes.png"}
    (tmp_path / ".temu-notes.png").write_bytes(b"")

    with files.replacing(tmp_path / "b.png") as own:
        own.write_bytes(b"b")
        assert {*tmp_path.iterdir()} == kept | {own}
        files._sweep.cache_clear()  # as another process
        files.write_bytes(tmp_path / "c.png", b"c")
        assert own.exists()
    assert {*tmp_path.iterdir()} == kept | {tmp_path / "b.png", tmp_path / "c.png"}

    os.utime(elsewhere, (0, 0))
    files._sweep.cache_clear()
    files.write_bytes(tmp_path / "b.png", b"again")
    assert not elsewhere.exists()


def test_folders_without_a_result_are_taken_back(tmp_path):
    (tmp_path / "old").mkdir()
    for name in ("old", "new/deep", "full/deep"):
        files.writable_folder(tmp_path / name)
    (tmp_path / "full" / "deep" / "result").touch()
    files.remove_empty_folders()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "old"]

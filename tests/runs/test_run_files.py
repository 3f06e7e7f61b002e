"""The files that a run keeps for itself: damaged ones are named, and nothing that was cut counts as finished."""

import errno
import logging
from pathlib import Path

import pytest
import torch

from temu_vtoff.datasets.features import is_whole_feature, load_feature, save_feature
from temu_vtoff.runs.captioning import read_journal, write_captions
from temu_vtoff.runs.journal import Journal
from temu_vtoff.runs.settings import keep_settings, read_settings


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe{", b"[" * 9999, b'{"seed": 0}\0\0'])
def test_damaged_settings_are_named_with_a_way_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"settings\.json is damaged.*delete .*settings\.json if.*another folder"):
        keep_settings(path, {"seed": 0})
    assert path.read_bytes() == content


def test_settings_are_compared(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    assert read_settings(path) is None
    keep_settings(path, {"seed": 0, "compile": False})
    keep_settings(path, {"seed": 0, "compile": True}, may_change=["compile"])
    assert read_settings(path) == {"seed": 0, "compile": True}
    with pytest.raises(ValueError, match='seed 0, not 1; preset null, not "fast": name another folder'):
        keep_settings(path, {"seed": 1, "preset": "fast", "compile": True})
    assert read_settings(path) == {"seed": 0, "compile": True}
    keep_settings(path, {"finish": {"trim": True, "margin": None}}, may_change=["finish"])
    with pytest.raises(ValueError, match='made with margin null, not "8%": name another folder'):
        keep_settings(path, {"finish": {"trim": True, "margin": "8%"}})


def test_a_journal_survives_all_kinds_of_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path, "captions")
    for number in range(6):
        journal.append(f"item {number}", caption=f"caption {number}")
    journal.append("na\udcefve.jpg", caption="of a file name that is no UTF-8")
    lines = (tmp_path / "captions.0.jsonl").read_bytes().splitlines()
    lines[1] = lines[1][:20]  # torn by a kill
    lines[2] = b"\0" * len(lines[2])  # left by a power failure
    lines[3] = lines[3].replace(b'"time": ', b'"time": "soon", "was": ')
    lines[4] = lines[4].replace(b'"key": "item 4"', b'"key": ["item", 4]')
    lines[5] = lines[5].replace(b'"caption": "caption 5"', b'"caption": null')
    (tmp_path / "captions.0.jsonl").write_bytes(b"\n".join(lines) + b"\n")

    with caplog.at_level(logging.WARNING):
        again = Journal(tmp_path, "captions", process=1)
        assert read_journal(again) == {"item 0": "caption 0", "na\udcefve.jpg": "of a file name that is no UTF-8"}
        again.append("item 2", caption="new")
        assert read_journal(again)["item 2"] == "new"
    assert caplog.text.count("captions.0.jsonl") == 1 and "3 damaged lines are passed over" in caplog.text


def test_a_journal_on_a_full_disk_says_so(tmp_path: Path) -> None:
    (tmp_path / "manifest.0.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        Journal(tmp_path, "manifest").append("item", status="done")
    assert caught.value.errno == errno.ENOSPC


def test_captions_of_files_with_any_name_are_written(tmp_path: Path) -> None:
    write_captions(tmp_path / "captions.json", {"na\udcefve": "a dress", "1": "a naïve dress"})
    text = (tmp_path / "captions.json").read_bytes().decode("utf-8")
    assert r'"na\udcefve": [' in text and "a naïve dress" in text


def test_a_feature_that_was_cut_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "feature.pt"
    for feature in (torch.zeros(8), torch.randn(77, 64).half()):
        save_feature(feature, path)
        data = path.read_bytes()
        assert is_whole_feature(path) and load_feature(path).equal(feature)
        for length in (0, 1, 21, len(data) // 2, len(data) - 9):
            path.write_bytes(data[:length])
            assert not is_whole_feature(path), length
            path.write_bytes(data[:length] + bytes(len(data) - length))  # the length came to the disk, the end did not
            assert not is_whole_feature(path), length
    assert not is_whole_feature(tmp_path / "gone.pt") and not is_whole_feature(tmp_path)
    torch.save(torch.zeros(8), path, _use_new_zipfile_serialization=False)  # as torch before 1.6 wrote them
    assert is_whole_feature(path) and load_feature(path).equal(torch.zeros(8))

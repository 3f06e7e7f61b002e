"""The fuzzing command itself: every kind runs, and a finding ends it with the command that repeats it."""

import pytest

from tests.fuzz import KINDS, only_ours
from tests.fuzz import __main__ as fuzz


def test_every_kind_runs_without_a_finding(capsys):
    assert fuzz.main(fuzz.parse_args(["--seed", "0", "--cases", str(8 * len(KINDS)), "--seconds", "60"])) == 0
    out = capsys.readouterr().out
    assert all(f" of {name}" in out for name in KINDS) and "; 0 findings" in out


def test_a_finding_is_shown_with_its_seed(capsys, monkeypatch):
    def failing(*_: object) -> None:
        raise KeyError("no sentence of ours")

    monkeypatch.setitem(KINDS, "pictures", failing)
    assert fuzz.main(fuzz.parse_args(["--only", "pictures", "--seed", "7", "--seconds", "5"])) == 1
    assert "python -m tests.fuzz --only pictures --seed 7 --cases 1" in capsys.readouterr().err


def test_an_error_without_the_file_is_a_finding():
    with pytest.raises(AssertionError, match="no file name"), only_ours("picture.png"):
        raise ValueError("something went wrong")

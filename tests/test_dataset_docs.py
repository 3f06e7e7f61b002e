"""docs/datasets.md says what `make dataset-demo` does, and every flag in it exists."""

import re
import shlex
import subprocess
import sys

import pytest

from tests.script_calls import ROOT

DOCUMENT = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")


def commands(text: str, start: str) -> list[list[str]]:
    """The command lines that begin so, continued lines joined, as words without their first."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line[len(start) :]) for line in lines if line.startswith(start)]


DOCUMENTED = commands("".join(re.findall(r"```bash\n(.*?)```", DOCUMENT, flags=re.DOTALL)), "python ")


def test_make_runs_the_documented_lines() -> None:
    made = subprocess.run(["make", "-n", "dataset-demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert commands(made, "HF_HUB_OFFLINE=1 .venv/bin/python ") == DOCUMENTED != []


@pytest.mark.parametrize("script", sorted({words[0] for words in DOCUMENTED if words[0].endswith(".py")}))
def test_documented_flags_exist(script: str) -> None:
    command = [sys.executable, ROOT / script, "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = {word for words in DOCUMENTED if words[0] == script for word in words if word.startswith("--")}
    assert used and all(f" {flag} " in shown for flag in used)

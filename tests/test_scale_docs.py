"""docs/scale.md: its commands are understood, and its flags exist."""

import re
import shlex

import pytest

import inference_bulk
from tests.script_calls import ROOT

DOCUMENT = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
SHELL = "".join(re.findall(r"```bash\n(.*?)```", DOCUMENT, flags=re.DOTALL)).replace("\\\n", " ")
COMMANDS = [line for line in SHELL.splitlines() if line.startswith("python inference_bulk.py")]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line):
    args = inference_bulk.parse_args(shlex.split(line)[2:])
    job = inference_bulk.make_job(args)
    inference_bulk.make_options(args, job)


def test_hours_are_those_of_a_million_photos():
    rows = re.findall(r"^\|[^|]+\| ([\d.]+)[^|]*\| (\d+) \|", DOCUMENT, flags=re.MULTILINE)
    assert len(rows) >= 8
    for seconds, hours in rows:
        assert float(hours) == pytest.approx(float(seconds) * 1e6 / 3600, rel=0.03, abs=0.5), (seconds, hours)


def test_flags_of_the_text_exist(capsys):
    with pytest.raises(SystemExit):
        inference_bulk.parse_args(["--help"])
    offered = set(re.findall(r"--\w+", capsys.readouterr().out))
    assert set(re.findall(r"`(--\w+)", DOCUMENT)) <= offered

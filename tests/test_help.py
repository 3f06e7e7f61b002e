"""`--help` of every script: with commands to paste, flags in groups and their defaults; and before torch is loaded."""

import os
import subprocess
import sys

import pytest

from tests.fresh_checkout import ROOT

SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in (
        "*.py",
        "precompute_utils/*.py",
        "drawn_people/__main__.py",
        "builtin_training/measure.py",
        "builtin_training/train_transformers.py",
    )
    for path in ROOT.glob(pattern)
    if "def parse_args" in path.read_text(encoding="utf-8")
)
HELP = """
import runpy, sys
try:
    runpy.run_{how}({target!r}, run_name="__main__")
finally:
    assert "torch" not in sys.modules, "torch is loaded for --help"
"""


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_quick_grouped_and_has_examples(script):
    as_module = script.startswith(("drawn_people", "builtin_training"))
    target = script.removesuffix(".py").replace("/", ".") if as_module else script
    code = HELP.format(how="module" if as_module else "path", target=target)
    command = [sys.executable, "-c", f"import sys; sys.argv = [{script!r}, '--help']\n{code}"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr[-2000:]
    description, flags = answer.stdout.split("\noptions:\n")
    assert any(line.lstrip().startswith(("python ", "accelerate ")) for line in description.splitlines())
    groups = [line for line in flags.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert groups and "(default: " in flags


def test_every_script_is_covered():
    assert {"app.py", "evaluate.py", "inference.py", "train.py", "drawn_people/__main__.py"} <= set(SCRIPTS)


def test_help_fits_a_terminal_without_unicode():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    for script in SCRIPTS:
        if "/" not in script:
            answer = subprocess.run([sys.executable, script, "--help"], cwd=ROOT, capture_output=True, env=environment)
            assert answer.returncode == 0 and answer.stdout.isascii(), (script, answer.stderr[-500:])


def test_a_reader_that_leaves_is_no_error():
    code = """
import argparse, sys, command_line
def main(args):
    for number in range(100_000):
        print(number)
command_line.run(main, argparse.Namespace())
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 141

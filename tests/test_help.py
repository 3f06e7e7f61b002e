"""`--help` of every script: with commands to paste, flags in groups and their defaults; and before torch is loaded."""

import json
import os
import subprocess
import sys
from functools import cache

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
SHOW = """
import contextlib, io, json, runpy, sys
helps = {}
for target in sys.argv[1:]:
    stream = io.TextIOWrapper(io.BytesIO(), sys.stdout.encoding)
    sys.argv[:] = [target, "--help"]
    status, loaded = None, {*sys.modules}
    with contextlib.redirect_stdout(stream):
        try:
            run = runpy.run_path if target.endswith(".py") else runpy.run_module
            run(target, run_name="__main__")
        except SystemExit as ended:
            status = ended.code
        stream.flush()
    heavy = {"torch", "scipy.ndimage"} & {*sys.modules} - loaded
    helps[target] = status, stream.buffer.getvalue().decode(), sorted(heavy)
print(json.dumps(helps))
"""


@cache
def all_helps(encoding: str) -> dict[str, tuple[int, str, list[str]]]:
    """By script: exit status, what is printed, and the heavy libraries that it is the first to load.

    All are run in one process, as `python SCRIPT --help` or `python -m MODULE --help` runs each.
    """
    as_modules = ("drawn_people", "builtin_training")
    targets = {s: s.removesuffix(".py").replace("/", ".") if s.startswith(as_modules) else s for s in SCRIPTS}
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    command = [sys.executable, "-c", SHOW, *targets.values()]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr[-2000:]
    helps = json.loads(answer.stdout)
    return {script: helps[target] for script, target in targets.items()}


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_light_grouped_and_has_examples(script):
    status, shown, heavy = all_helps("utf-8")[script]
    assert status == 0
    assert {*heavy} <= ({"scipy.ndimage"} if script.startswith("builtin_training") else set())
    description, flags = shown.split("\noptions:\n")
    assert any(line.lstrip().startswith(("python ", "accelerate ")) for line in description.splitlines())
    groups = [line for line in flags.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert groups and "(default: " in flags


def test_every_script_is_covered():
    assert {"app.py", "evaluate.py", "inference.py", "train.py", "drawn_people/__main__.py"} <= set(SCRIPTS)


def test_help_fits_a_terminal_without_unicode():
    for script, (status, shown, _) in all_helps("ascii").items():
        assert status == 0 and shown.isascii(), script


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

"""Scripts called in this process, just as their last line calls them, and what importing one costs."""

import contextlib
import io
import logging
import subprocess
import sys
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import command_line

ROOT = Path(__file__).parent.parent


def call(script: ModuleType, *argv: object) -> int:
    """Runs a script's main with the given flags; its exit status."""
    for handler in logging.getLogger("temu_vtoff").handlers:
        getattr(handler, "shown", set()).clear()  # a process of its own has shown no warning yet
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:  # scripts set their own way to show warnings
        command_line.run(script.main, script.parse_args([str(word) for word in argv]))
    return ended.value.code


def error_line(err: str) -> str:
    """The one sentence of a failed run."""
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return line


@cache
def help_text(target: str) -> str:
    """What a script, such as app.py, or a module, such as drawn_people.__main__, prints for --help."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit, match="0"):
        import_module(target.removesuffix(".py").replace("/", ".")).parse_args(["--help"])
    return printed.getvalue()


def heavy_imports(statement: str) -> set[str]:
    """Which of the libraries that take seconds to import a statement imports."""
    code = f"import sys; {statement}; print(*{{'torch', 'transformers', 'diffusers'}} & {{*sys.modules}})"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(answer.stdout.split())

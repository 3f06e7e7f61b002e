"""Scripts called in this process, just as their last line calls them, and what importing one costs."""

import logging
import subprocess
import sys
import warnings
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


def heavy_imports(statement: str) -> set[str]:
    """Which of the libraries that take seconds to import a statement imports."""
    code = f"import sys; {statement}; print(*{{'torch', 'transformers', 'diffusers'}} & {{*sys.modules}})"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(answer.stdout.split())

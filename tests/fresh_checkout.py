"""A folder that looks like a fresh clone, where commands can be run as a new user would run them."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
WRITTEN = ("examples", "assets")  # copied, because scripts write there; the rest is linked
LEFT_OUT = (".git", ".venv", "outputs", "runs", "data", *WRITTEN)


def link_checkout(folder: Path) -> Path:
    """Fills the folder; what commands write stays in it."""
    for path in ROOT.iterdir():
        if path.name not in LEFT_OUT:
            (folder / path.name).symlink_to(path)
    for name in WRITTEN:
        shutil.copytree(ROOT / name, folder / name)
    return folder


def run_python(arguments: Sequence[str], folder: Path) -> str:
    """Runs `python ARGUMENTS` in the folder; what it printed."""
    answer = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=900)
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout

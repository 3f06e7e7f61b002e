"""A folder that looks like a fresh clone, where commands can be run as a new user would run them."""

import shutil
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

"""What an installed library needs: masks without the extras, and one list of requirements that names all it imports."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.fresh_checkout import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {"gradio": "page", "torchmetrics": "metrics", "cleanfid": "metrics", "DISTS_pytorch": "metrics"}
EXTRAS |= {"tensorboard": "train", "rtmlib": "pose"}
EXTRAS |= dict.fromkeys(("ray", "pyarrow", "webdataset"), "ray")
MASK = """
import sys
for name in {names}:
    sys.modules[name] = None  # importing it fails
from temu_vtoff import segment_clothing
mask, _ = segment_clothing("examples/example1.jpg", model="builtin")
assert mask.getbbox()
"""
# Asked for by name only where a user has chosen them.
CHOSEN = {"torchao", "bitsandbytes", "wandb", "pillow_heif"}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def imported(*folders: str) -> set[str]:
    """Top-level modules that the folders import anywhere, without Python's own and ours."""
    found = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
    ours = {path.stem for path in ROOT.iterdir()}
    return found - ours - set(sys.stdlib_module_names) - CHOSEN


def test_masks_need_no_extra() -> None:
    code = MASK.format(names=tuple(EXTRAS))
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr[-2000:]


@pytest.mark.parametrize("folder", ["temu_vtoff", "drawn_people"])
def test_requirements_name_what_the_library_imports(folder: str) -> None:
    distributions = packages_distributions()
    needed = {canonicalize_name(distributions[module][0]) for module in imported(folder)}
    extras = {canonicalize_name(distributions[module][0]): extra for module, extra in EXTRAS.items()}
    for name in needed - names(PROJECT["dependencies"]):
        assert name in extras, f"{name} is imported and stands in no list"
        assert name in names(PROJECT["optional-dependencies"][extras[name]])


def test_every_requirement_has_a_tested_version() -> None:
    pinned = names((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:])
    listed = [
        *PROJECT["dependencies"],
        *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
    ]
    assert names(listed) <= pinned

"""The wheel in an environment of its own, used from an empty folder: `make test-wheel`.

The environment has the wheel's requirements without extras, as `pip install .` would bring them, linked from .venv
instead of downloaded again. It lies inside another project's repository, as environments often do.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "temu-vtoff-toolkit"
NOT_SOURCE = {".git", ".venv", "outputs", "runs", "work", "build", "temu_vtoff_toolkit.egg-info"}
LEFT_OUT = ("gradio", "torchmetrics", "cleanfid", "DISTS_pytorch", "tensorboard", "pytest", "command_line", "train")


def git(folder: Path, *arguments: str) -> None:
    name = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    subprocess.run(["git", "-C", folder, *name, *arguments], check=True, capture_output=True)


def requirements(name: str) -> dict[str, Distribution]:
    """A distribution's requirements without extras, and theirs, by name; without itself."""
    found: dict[str, Distribution] = {}
    waiting = [(name, "")]
    while waiting:
        name, extra = waiting.pop()
        for line in distribution(name).requires or []:
            needed = Requirement(line)
            if needed.marker is not None and not needed.marker.evaluate({"extra": extra}):
                continue
            if needed.name not in found:
                found[needed.name] = distribution(needed.name)
                waiting.append((needed.name, ""))
            waiting += [(needed.name, wanted) for wanted in needed.extras]
    return found


def pip(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def make_environment(folder: Path) -> Path:
    """A virtual environment with the project's requirements, without the project."""
    venv.create(folder, symlinks=True)
    packages = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    for needed in requirements(PROJECT).values():
        for name in {file.parts[0] for file in needed.files} - {"..", "__pycache__"}:
            if not (packages / name).exists():
                (packages / name).symlink_to(needed.locate_file(name))
    return folder


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """A copy of the checkout, because builds leave files behind."""
    copy = tmp_path_factory.mktemp("source") / "copy"
    shutil.copytree(ROOT, copy, ignore=lambda folder, _: NOT_SOURCE if folder == str(ROOT) else ())
    return copy


@pytest.fixture(scope="session")
def environment(tmp_path_factory, source) -> Path:
    """An environment with the wheel, inside the repository of another project."""
    project, wheels = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("wheels")
    git(project, "init", "-q")
    git(project, "commit", "-q", "--allow-empty", "-m", "another project")
    folder = make_environment(project / "env")
    pip("wheel", "--no-deps", "--wheel-dir", wheels, source)
    pip("--python", folder, "install", "--no-deps", "--no-index", *wheels.glob("*.whl"))
    return folder


@pytest.fixture
def run(environment, tmp_path):
    """Runs Python lines in the fresh environment and an empty folder; what they print."""
    return lambda code: answer(environment, tmp_path, "-c", code)


def answer(environment: Path, folder: Path, *words: str | Path) -> str:
    """What `python WORDS` prints in an environment and a folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [environment / "bin" / "python", *words]
    ended = subprocess.run(command, cwd=folder, env=clean | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout.strip()


def test_the_library_is_there_and_nothing_else_of_the_repository(run, environment):
    assert run("import temu_vtoff; print(temu_vtoff.__file__)").startswith(str(environment))
    print_found = "from importlib.util import find_spec; print(*[name for name in {} if find_spec(name)])"
    assert run(print_found.format(LEFT_OUT)) == ""
    assert run("import drawn_people; print(drawn_people.CATEGORIES)")


def test_a_picture_of_an_example_photo(run, tmp_path):
    photo = str(ROOT / "examples" / "example1.jpg")
    run(
        "from temu_vtoff import Options, TryOff, segment_clothing\n"
        f"mask, _ = segment_clothing({photo!r}, model='builtin')\n"
        f"(product,) = TryOff(Options(tryoff='builtin', preset='fast'))({photo!r})\n"
        "product.images[0].save('product.png')\n"
    )
    assert (tmp_path / "product.png").stat().st_size > 10_000


def test_a_run_record_names_the_version_and_not_the_commit_of_another_project(run):
    made_by = "from temu_vtoff.runs.record import made_by; m = made_by(); print(m['commit'], m['version'])"
    assert run(made_by) == f"None {run('import temu_vtoff; print(temu_vtoff.__version__)')}"


def test_scripts_below_the_root_find_what_they_need_in_an_editable_install(tmp_path, source):
    environment = make_environment(tmp_path / "env")
    pip("--python", environment, "install", "--no-deps", "-e", source)
    for script in (source / "precompute_utils").glob("[!_]*.py"):
        assert "--dataset_root" in answer(environment, tmp_path, script, "--help")

"""The README says what is true: its commands and its Python run as printed, its flags and links exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Not run here: they install, need the published weights or other machines, never end, or are what runs these tests.
ELSEWHERE = (
    "app.py",
    "make ",
    "pip ",
    "python -m venv",
    "source ",
    "accelerate ",
    "hf ",
    "davidelobba/TEMU-VTOFF",
    "DressCode",
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A folder that looks like a fresh clone, without copying it: commands write their outputs there."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name not in ("outputs", ".git", ".venv", "runs", "data"):
            (folder / path.name).symlink_to(path)
    return folder


def run(command: list[str], cwd: Path) -> None:
    answer = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)
    assert answer.returncode == 0, answer.stderr[-2000:]


def test_commands_run_as_printed_and_in_order(checkout):
    ours = [command for command in commands() if not any(word in command for word in ELSEWHERE)]
    assert len(ours) >= 5
    for command in ours:
        words = shlex.split(command)
        assert words[0] == "python"
        run([sys.executable, *words[1:]], checkout)


def test_python_runs_as_printed(checkout):
    assert blocks("python")
    for block in blocks("python"):
        run([sys.executable, "-c", block], checkout)


def test_scripts_of_examples_run(checkout):
    scripts = sorted((ROOT / "examples").glob("*.py"))
    assert scripts
    for script in scripts:
        assert len(script.read_text().splitlines()) < 40
        run([sys.executable, f"examples/{script.name}"], checkout)


def test_flags_exist():
    for command in commands():
        words = shlex.split(command)
        script = next((word for word in words if word.endswith(".py")), None)
        if words[:2] == ["python", "-m"] and words[2] not in ("venv",):
            target = ["-m", words[2]]
        elif script is not None and script != "-c":
            target = [script]
        else:
            continue
        help_text = subprocess.run([sys.executable, *target, "--help"], cwd=ROOT, capture_output=True, text=True).stdout
        for flag in (word for word in words if word.startswith("--")):
            if "accelerate" not in command:
                assert re.search(rf"{flag}\b", help_text), f"{flag} of: {command}"


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(
        r"make ([a-z-]+)", " ".join(blocks("bash")) + " ".join(re.findall(r"`(make [^`]+)`", README))
    ):
        assert f"\n{target}:" in makefile, target


def test_links_lead_somewhere():
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)", README, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("https://"):
            assert (ROOT / target).exists(), target

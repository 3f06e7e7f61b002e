"""The README and the documents beside it are true: commands and Python run as printed, flags, links, messages exist."""

import re
import shlex
import socket
import time
from pathlib import Path

import httpx
import pytest

from temu_vtoff.metrics.published import COLUMNS, PUBLISHED
from tests.fresh_checkout import ROOT, link_checkout
from tests.script_calls import help_text
from tests.script_processes import run_python, start_python

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
# Not run here: they install, need the published weights or other machines, never end, or are what runs these tests.
ELSEWHERE = ("app.py", "make ", "pip ", "python -m venv", "source ", "git ", "cd ", "hf ", "davidelobba/TEMU-VTOFF")
PAGE = "127.0.0.1:7860"  # where the README says that the web page is
PATIENCE = 240  # seconds, until the page is there
STEPS = 2  # of each picture: that they run is tested here


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


def main_of(name: str) -> str:
    """The module that `python -m NAME` runs."""
    return f"{name}.__main__" if (ROOT / name).is_dir() else name


def rows(text: str, head: str) -> list[list[str]]:
    """The cells of the text's table whose first line begins so, without its head."""
    table = text[text.index(f"\n| {head} |") + 1 :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    return link_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def page(checkout, tmp_path):
    """A running app.py: its address without the scheme."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    words = ["app.py", "--port", address.split(":")[1]]
    process = start_python(words, checkout, tmp_path / "stdout", tmp_path / "stderr")
    try:
        end = time.monotonic() + PATIENCE
        while not _answers(address):
            assert process.is_alive() and time.monotonic() < end
            time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.join(PATIENCE)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}", timeout=PATIENCE).is_success
    except httpx.TransportError:
        return False


def test_it_is_short_enough_to_be_read():
    assert len(README.splitlines()) <= 200


def test_commands_run_as_printed_and_in_order(checkout):
    ours = [command for command in commands() if not any(word in command for word in ELSEWHERE)]
    assert len(ours) >= 7
    for command in ours:
        words = shlex.split(command)
        assert words[0] == "python"
        run_python(words[1:], checkout, STEPS)


def test_python_runs_as_printed(checkout):
    ours = [block for block in blocks("python") if PAGE not in block]
    assert ours
    for block in ours:
        run_python(["-c", block], checkout, STEPS)


def test_the_page_answers_programs_as_printed(checkout, page):
    (block,) = [block for block in blocks("python") if PAGE in block]
    run_python(["-c", f"{block.replace(PAGE, page)}\nassert white.endswith('.png') and white != cutout"], checkout)


def test_flags_of_commands_exist():
    for command in commands():
        words = shlex.split(command)
        script = next((word for word in words if word.endswith(".py")), None)
        if words[:2] == ["python", "-m"] and words[2] != "venv":
            target = main_of(words[2])
        elif words[0] == "python" and script is not None:
            target = script
        else:
            continue
        for flag in (word for word in words if word.startswith("--")):
            assert re.search(rf"{flag}\b", help_text(target)), f"{flag} of: {command}"


def test_flags_named_in_the_text_exist():
    scripts = [path.name for path in ROOT.glob("*.py") if "def parse_args" in path.read_text(encoding="utf-8")]
    modules = ("builtin_training.measure", "drawn_people", "benchmarks.bench_generation")
    targets = [*scripts, "precompute_utils/captioning_qwen.py", *map(main_of, modules)]
    everything = "".join(map(help_text, targets))
    text = re.sub(r"```.*?```", "", README + TROUBLESHOOTING, flags=re.DOTALL)
    flags = set(re.findall(r"(--[a-z_]+)", text))
    assert "--preset" in flags
    for flag in flags - {"--help"}:
        assert re.search(rf"{flag}\b", everything), flag


def test_messages_of_troubleshooting_are_told_by_the_code():
    parts = ("temu_vtoff", "precompute_utils", "web_page")
    files = [*ROOT.glob("*.py"), *(path for part in parts for path in (ROOT / part).rglob("*.py"))]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    messages = [message for says, _ in rows(TROUBLESHOOTING, "message") for message in re.findall(r"`([^`]+)`", says)]
    assert len(messages) >= 8
    for message in messages:
        assert message in code, message


@pytest.mark.parametrize(("head", "dataset"), [("Dress Code, all", "dresscode"), ("VITON-HD", "vitonhd")])
def test_published_numbers_are_those_of_the_code(head, dataset):
    told = {name: tuple(None if cell == "-" else float(cell) for cell in cells) for name, *cells in rows(RESULTS, head)}
    assert told == PUBLISHED[dataset] and all(len(values) == len(COLUMNS) for values in told.values())


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = " ".join(blocks("bash")) + " ".join(re.findall(r"`(make [^`]+)`", README))
    for target in re.findall(r"make ([a-z-]+)", named):
        assert f"\n{target}:" in makefile, target


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "temu_vtoff/builtin/README.md",
        *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
    ],
)
def test_links_lead_somewhere(name):
    path = ROOT / name
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        there = path if not file else path.parent / file
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there), target


def _anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}

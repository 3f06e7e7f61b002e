"""Every flag and back end in docs/compare.md and docs/licences.md exists."""

import re
import shlex

import pytest

import evaluate
import inference
import inference_dataset
from temu_vtoff.backends.registry import BACKENDS, EDITORS
from temu_vtoff.hub.licences import LICENCES
from temu_vtoff.hub.sources import (
    PUBLISHED_BASE,
    PUBLISHED_CAPTIONER,
    PUBLISHED_SEGMENTER,
    PUBLISHED_TRYOFF,
    PUBLISHED_TRYON,
)
from tests.script_calls import ROOT

DOCUMENT = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
LICENCE_PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
SHELL = "".join(re.findall(r"```bash\n(.*?)```", DOCUMENT + LICENCE_PAGE, flags=re.DOTALL))
SHARED = re.search(r'^D="(.*)"$', SHELL, flags=re.MULTILINE)[1]
LINES = [line.replace("$D", SHARED) for line in SHELL.splitlines() if line.startswith("python ")]
SCRIPTS = {"inference.py": inference, "inference_dataset.py": inference_dataset, "evaluate.py": evaluate}


@pytest.mark.parametrize("line", LINES)
def test_commands_are_understood(line):
    script, *flags = shlex.split(line)[1:]
    SCRIPTS[script].parse_args(flags)


def test_the_table_names_every_back_end_with_its_weights():
    assert re.findall(r"^\| `([a-z][\w-]*)` \|", DOCUMENT, flags=re.MULTILINE) == [*BACKENDS]
    assert all(backend.base in DOCUMENT for backend in EDITORS.values())


def test_every_default_has_its_licence_in_the_table():
    published = (PUBLISHED_BASE, PUBLISHED_TRYOFF, PUBLISHED_TRYON, PUBLISHED_SEGMENTER, PUBLISHED_CAPTIONER)
    for name in (*published, *(backend.base for backend in EDITORS.values())):
        assert f"`{name}`" in LICENCE_PAGE and name in LICENCES

"""The scripts and the notebook of examples/ run as they are, from a fresh checkout, offline."""

from pathlib import Path

import pytest
from PIL import Image, ImageChops

from tests.fresh_checkout import ROOT, link_checkout
from tests.script_processes import FEWER_STEPS, run_python

SCRIPTS = sorted(path.name for path in (ROOT / "examples").glob("*.py") if path.stem != "make_examples")
NOTEBOOKS = {  # with the pictures that each shows
    "quickstart": 6,  # the photo, its mask, product, seeds, guidance, and the last one
    "try_on": 4,  # the photos, the region, the garment, the result
}
STEPS = 2  # of each picture: that they run is tested here


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    return link_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_short_and_runs(checkout, name):
    assert len((ROOT / "examples" / name).read_text(encoding="utf-8").splitlines()) < 40
    assert run_python([f"examples/{name}"], checkout, STEPS).strip()


def test_the_example_photos_are_what_their_script_draws(checkout):
    run_python(["examples/make_examples.py"], checkout)
    for kept in (ROOT / "examples").glob("*.jpg"):
        difference = ImageChops.difference(Image.open(checkout / "examples" / kept.name), Image.open(kept))
        assert max(high for _, high in difference.getextrema()) <= 8  # JPEG libraries may differ by little


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_top_to_bottom(checkout, name, monkeypatch, tmp_path):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    (tmp_path / "profile_default" / "startup").mkdir(parents=True)
    (tmp_path / "profile_default" / "startup" / "fewer_steps.py").write_text(FEWER_STEPS.format(steps=STEPS))
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(checkout / "examples" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # kept without, so that it never grows stale
    place = {"metadata": {"path": str(checkout / "examples")}}
    nbclient.NotebookClient(notebook, timeout=900, resources=place).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    pictures = [cell for cell in code if any("image/png" in output.get("data", {}) for output in cell.outputs)]
    assert len(pictures) == NOTEBOOKS[name]

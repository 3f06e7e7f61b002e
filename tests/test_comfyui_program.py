"""The nodes in the real ComfyUI on a CPU, from the checkout that COMFYUI names; without it, nothing is tested."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from temu_vtoff import Finish, Options, TryOff
from tests.comfyui_program import ROOT, started

CHECKOUT = os.environ.get("COMFYUI")
pytestmark = pytest.mark.skipif(CHECKOUT is None, reason="COMFYUI names no checkout of the program")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comfyui") / "base"
    with started(Path(CHECKOUT), folder) as running:
        running.folder = folder
        yield running


def workflow(**changes: dict) -> dict:
    nodes = json.loads((ROOT / "example_workflows" / "api" / "photo_to_product.json").read_text())
    for node in nodes.values():
        node["inputs"] |= changes.get(node["class_type"], {})
    return nodes


def test_the_program_knows_the_nodes(program):
    described = program.ask("object_info")
    assert {"SegmentGarment", "CaptionGarment", "TryOffGarment", "TryOnGarment", "FinishGarment"} <= set(described)
    assert "LoadImageDataSetFromFolder" in described


def test_a_workflow_makes_the_bytes_of_the_library(program):
    quick = {"TryOffGarment": {"seed": 3, "steps": 2}, "LoadTemuVtoff": {"precision": "no"}}
    history = program.run(workflow(**quick))
    assert history["status"]["status_str"] == "success"
    finish = Finish(background="white", margin="8%", canvas="600x800")
    toolkit = TryOff(Options(device="cpu", precision="no", finish=finish))
    (product,) = toolkit([ROOT / "examples" / "example1.jpg"], "upper_body", seed=3, num_inference_steps=2)
    (saved,) = (program.folder / "output").glob("product_*.png")
    assert np.array_equal(np.asarray(Image.open(saved)), np.asarray(product.finished[0]))


def test_models_leave_when_the_program_asks(program):
    program.ask("free", {"unload_models": True})
    quick = {"TryOffGarment": {"seed": 4, "steps": 1}, "LoadTemuVtoff": {"precision": "no"}}
    assert program.run(workflow(**quick))["status"]["status_str"] == "success"  # they are loaded again
    assert "Exception" not in (program.folder / "log.txt").read_text()


def test_a_mistake_is_one_sentence_in_its_node(program):
    history = program.run(workflow(LoadTemuVtoff={"source": "/no/such/folder"}))
    errors = [facts for kind, facts in history["status"]["messages"] if kind == "execution_error"]
    assert errors[0]["node_type"] == "LoadTemuVtoff" and "/no/such/folder" in errors[0]["exception_message"]

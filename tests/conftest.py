"""What all tests share: no network, few threads, tiny real models, and the order of the files."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


import pytest
from golden_checkpoint import GOLDEN

if TYPE_CHECKING:
    import torch

if "PYTEST_XDIST_WORKER" in os.environ:  # one process a core: more threads would fight over it
    import torch  # not in the process that only hands out the tests

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start
    torch.set_num_threads(1)

re._MAXCACHE = 10_000  # transformers compiles 600 patterns for each pipeline that it loads; Python keeps 512

# With tests of more than half a minute, the longest first: what comes last is short, and no worker waits for another.
LONG = (
    *("test_bulk_run", "test_long_run", "test_app", "test_acceleration", "test_inference_dataset", "test_presets"),
    *("test_train", "test_processes", "test_try_on_runs", "test_app_browser", "test_editing", "test_readme"),
    *("test_examples", "test_inference", "test_comfyui", "test_fuzz", "test_loop", "test_measure", "test_metrics"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the long files first; the order within a file stays."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def pytest_collection_finish() -> None:
    """Keeps what is imported by now out of garbage collections, of which every stage makes one: each took 0.3 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    """Inputs and outputs of the published computation on the tiny checkpoint of `GOLDEN`; see its README."""
    from safetensors.torch import load_file

    return load_file(GOLDEN / "golden.safetensors")


@pytest.fixture(scope="session")
def golden_inputs(golden: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the pipeline is called with for the values in `golden`."""
    inputs = {name.removeprefix("pipeline.in."): x for name, x in golden.items() if name.startswith("pipeline.in.")}
    inputs["masked_image"] = (inputs.pop("fine_mask_image") + 1) / 2
    return inputs | {"image_embeds": golden["pipeline.mid.clip_image_embeds"]}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models of all three stages: pipe/, segformer/ and qwen/. Tests must not change them."""
    from tests.tiny_stages import save_stages

    return save_stages(tmp_path_factory.mktemp("models"))


@pytest.fixture
def golden_pipeline():
    """A fresh pipeline of the tiny checkpoint: tests may change it."""
    from temu_vtoff import TryOffPipeline

    pipe = TryOffPipeline.from_pretrained(GOLDEN)
    pipe.set_progress_bar_config(disable=True)
    return pipe

"""A few drawn people, as the training scripts read them."""

from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from builtin_training.data import Item, read_items
from drawn_people.layouts import People, write_dresscode


@pytest.fixture(scope="session")
def drawn_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training people and one test person of each category, 192x256."""
    root = tmp_path_factory.mktemp("drawn")
    write_dresscode(root, People(train=3, test=1, seed=5))
    return root


@pytest.fixture(scope="session")
def items(drawn_root: Path) -> list[Item]:
    return read_items(drawn_root, "train")


@pytest.fixture(autouse=True)
def own_process():
    """What a process of its own would have: an accelerator that nobody has set up yet."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)

"""Reading ahead: what can't be read is told by item, and a reading process that dies is told of too."""

import os
import signal
from pathlib import Path

import pytest

import command_line
from temu_vtoff.datasets import DressCodeDataset, Sample
from temu_vtoff.runs.reading import ReaderKilledError, naming_killed_readers, read_batches
from temu_vtoff.runs.sharing import cut_batches
from tests.tiny_datasets import write_dresscode


class Deadly(DressCodeDataset):
    """Its third item costs the reading process its life, as the kernel does when memory runs out."""

    def __getitem__(self, index: int) -> Sample:
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_dresscode(tmp_path, categories=["dresses"])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_come_in_order_and_unreadable_items_are_told(root: Path, num_workers: int) -> None:
    (root / "dresses/images/000001_0.jpg").write_bytes(b"no picture")
    dataset = DressCodeDataset(root, category="dresses")
    batches = read_batches(dataset, cut_batches(dataset.items, 3), num_workers)
    assert len(batches) == 2
    first, second = batches
    assert [sample.item.id for sample in first.samples] == ["000000", "000002"]
    assert [sample.item.id for sample in second.samples] == ["000003"] and not second.failures
    ((item, reason),) = first.failures
    assert item.id == "000001" and "000001_0.jpg" in reason


def test_a_killed_reader_is_told_with_a_way_out(root: Path) -> None:
    dataset = Deadly(root, category="dresses")
    with pytest.raises(ReaderKilledError) as caught, naming_killed_readers():
        list(read_batches(dataset, cut_batches(dataset.items, 1), num_workers=1))
    sentence = command_line.explain(caught.value)
    assert "A process that reads pictures was killed" in sentence and "--num_workers" in sentence

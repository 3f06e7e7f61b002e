"""The loop that all stages over a dataset share: what goes through the model, and when the model is loaded."""

import struct
from pathlib import Path

import pytest

from temu_vtoff.captioning.server import ServerUnreachableError
from temu_vtoff.datasets import DressCodeDataset, Sample
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.runs.sharing import cut_batches
from temu_vtoff.runs.stage import each_batch, each_result
from temu_vtoff.serving import MOST_IN_A_ROW, ErrorRow, RepeatedFailureError
from tests.tiny_datasets import write_dresscode


class Odd(DressCodeDataset):
    """Its first items fail as no picture should: with what no reader foresees."""

    TROUBLES = (struct.error("unpack requires 4 bytes"), ZeroDivisionError("division by zero"), MemoryError())

    def __getitem__(self, index: int) -> Sample:
        if index < len(self.TROUBLES):
            raise self.TROUBLES[index]
        return super().__getitem__(index)


@pytest.fixture
def dataset(tmp_path: Path) -> DressCodeDataset:
    return DressCodeDataset(write_dresscode(tmp_path, test=6, categories=["dresses"]), category="dresses")


def go(dataset: DressCodeDataset, done: set[str], **how: object) -> tuple[list[list[str]], int, dict]:
    """The ids of the batches that came, how often the model was loaded, and the failures."""
    loads, failures = [], {}
    steps = each_batch(
        dataset,
        cut_batches(dataset.items, 2),
        is_done=lambda item: item.id in done,
        load_model=lambda: loads.append("model") or object(),
        failures=failures,
        **how,
    )
    return [[sample.item.id for sample in samples] for _, samples in steps], len(loads), failures


def test_batches_with_something_left_come_whole(dataset: DressCodeDataset) -> None:
    batches, loads, failures = go(dataset, done={"000000", "000001", "000003"})
    assert batches == [["000002", "000003"], ["000004", "000005"]]
    assert loads == 1 and not failures


def test_the_model_is_not_loaded_for_nothing(dataset: DressCodeDataset) -> None:
    assert go(dataset, done={item.id for item in dataset.items}) == ([], 0, {})
    for item in dataset.items:
        item.person.write_bytes(b"")
    batches, loads, failures = go(dataset, done=set())
    assert (batches, loads) == ([], 0)
    assert all(item.person.name in failures[item] for item in dataset.items)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_whatever_goes_wrong_in_reading_fails_that_item_alone(tmp_path: Path, num_workers: int) -> None:
    dataset = Odd(write_dresscode(tmp_path, test=6, categories=["dresses"]), category="dresses")
    batches, _, failures = go(dataset, done=set(), num_workers=num_workers)
    assert batches == [["000003"], ["000004", "000005"]]
    assert [item.id for item in failures] == ["000000", "000001", "000002"]
    for item, reason in failures.items():
        assert item.person.name in reason and "\n" not in reason
    assert "unpack requires 4 bytes" in failures[dataset.items[0]]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("too elongated"), "too elongated"),
        (RuntimeError("shapes\ndiffer"), "RuntimeError: shapes differ"),
        (KeyError("hem"), "KeyError: 'hem'"),
        (MemoryError(), "the memory did not suffice"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_one_that_spoils_its_batch_fails_alone(dataset: DressCodeDataset, error: Exception, reason: str) -> None:
    samples = [dataset[i] for i in range(4)]

    def make(some: list[Sample]) -> list[str]:
        if any(sample.item.id == "000002" for sample in some):
            raise error
        return [f"{len(some)} {sample.item.id}" for sample in some]

    failures = {}
    made = [result for _, result in each_result(make, samples, failures, ErrorRow())]
    assert made == ["1 000000", "1 000001", "1 000003"]
    assert [(item.id, told) for item, told in failures.items()] == [("000002", f"{samples[2].item.person}: {reason}")]
    made = [result for _, result in each_result(make, samples[:2], failures, ErrorRow())]
    assert made == ["2 000000", "2 000001"]


def test_an_error_among_the_results_fails_its_item(dataset: DressCodeDataset) -> None:
    failures = {}
    made = each_result(lambda some: ["sound", ValueError("not finite")], [dataset[0], dataset[1]], failures, ErrorRow())
    assert [(sample.item.id, result) for sample, result in made] == [("000000", "sound")]
    assert {item.id for item in failures} == {"000001"} and "not finite" in failures[dataset.items[1]]


@pytest.mark.parametrize("error", [ArgumentError("no"), CheckpointError("no"), ServerUnreachableError("no")])
def test_what_is_wrong_for_all_ends_the_run(dataset: DressCodeDataset, error: ValueError) -> None:
    def make(some: list[Sample]) -> list[str]:
        raise error

    with pytest.raises(type(error)):
        list(each_result(make, [dataset[0], dataset[1]], {}, ErrorRow()))


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA out of memory"), RuntimeError("DataLoader worker (pid 7) is killed")]
)
def test_what_the_next_item_would_meet_too_is_raised_as_it_is(dataset: DressCodeDataset, error: RuntimeError) -> None:
    def make(some: list[Sample]) -> list[str]:
        raise error

    with pytest.raises(RuntimeError) as raised:
        list(each_result(make, [dataset[0], dataset[1]], {}, ErrorRow()))
    assert raised.value is error


def test_the_same_error_again_and_again_ends_the_run(dataset: DressCodeDataset) -> None:
    calls, failures, row = [], {}, ErrorRow()

    def make(some: list[Sample]) -> list[str]:
        calls.append([sample.item.id for sample in some])
        if len(calls) == 4:
            return ["sound"]
        raise RuntimeError("CUDA error: device-side assert triggered")

    samples = [dataset[0], dataset[1]]
    assert list(each_result(make, samples[:1], failures, row)) == []
    list(each_result(make, samples, failures, row))  # the second of them succeeds, and the row begins again
    with pytest.raises(RepeatedFailureError, match="last 10 items failed in the same way"):
        for _ in range(100):
            list(each_result(make, samples, failures, row))
    assert MOST_IN_A_ROW <= len(calls) - 4 <= 2 * MOST_IN_A_ROW
    different = iter(range(100))

    def make_each_differently(some: list[Sample]) -> list[str]:
        raise RuntimeError(f"size {next(different)}")

    row = ErrorRow()
    for _ in range(20):
        assert list(each_result(make_each_differently, samples[:1], failures, row)) == []

"""The loop that all stages over a dataset share: what goes through the model, and when the model is loaded."""

import struct
from collections.abc import Callable, Collection
from pathlib import Path
from unittest.mock import Mock

import pytest

from temu_vtoff.captioning.server import ServerUnreachableError
from temu_vtoff.datasets import DressCodeDataset, Item, Sample
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.errors import CheckpointError
from temu_vtoff.runs.reading import ReaderKilledError
from temu_vtoff.runs.sharing import cut_batches
from temu_vtoff.runs.stage import run_stage
from temu_vtoff.serving import MOST_IN_A_ROW, RepeatedFailureError
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


class Run:
    """A stage whose model answers with the ids, and what it did.

    Args:
        make: Answers instead of the model.
    """

    def __init__(
        self, dataset: DressCodeDataset, make: Callable | None = None, done: Collection[str] = (), **how: object
    ) -> None:
        self.batches, self.loads, self.kept, self.failures = [], 0, [], {}
        self.dataset, self.done, self.how = dataset, set(done), how
        self.answer = make or (lambda samples: [sample.item.id for sample in samples])

    def go(self, batches: list[list[Item]] | None = None) -> "Run":
        """Runs over batches of two, or those given."""
        self.failures = run_stage(
            self.dataset,
            cut_batches(self.dataset.items, 2) if batches is None else batches,
            is_done=lambda item: item.id in self.done,
            load_model=self.load,
            make=self.make,
            keep=self.keep,
            **self.how,
        )
        return self

    def load(self) -> str:
        self.loads += 1
        return "model"

    def make(self, model: str, samples: list[Sample]) -> list:
        assert model == "model"
        self.batches.append([sample.item.id for sample in samples])
        return self.answer(samples)

    def keep(self, model: str, sample: Sample, result: str) -> None:
        assert model == "model"
        if result == "unfit":
            raise ValueError("the result is unfit")
        self.kept.append((sample.item.id, result))


def test_batches_with_something_left_come_whole(dataset: DressCodeDataset) -> None:
    run = Run(dataset, done={"000000", "000001", "000003"}).go()
    assert run.batches == [["000002", "000003"], ["000004", "000005"]]
    assert run.kept == [(name, name) for name in ("000002", "000004", "000005")]  # what is finished is not kept again
    assert run.loads == 1 and not run.failures


def test_the_model_is_not_loaded_for_nothing(dataset: DressCodeDataset) -> None:
    run = Run(dataset, done={item.id for item in dataset.items}).go()
    assert (run.batches, run.loads, run.failures) == ([], 0, {})
    for item in dataset.items:
        item.person.write_bytes(b"")
    run = Run(dataset).go()
    assert (run.batches, run.loads) == ([], 0)
    assert all(item.person.name in run.failures[item] for item in dataset.items)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_whatever_goes_wrong_in_reading_fails_that_item_alone(tmp_path: Path, num_workers: int) -> None:
    dataset = Odd(write_dresscode(tmp_path, test=6, categories=["dresses"]), category="dresses")
    run = Run(dataset, num_workers=num_workers).go()
    assert run.batches == [["000003"], ["000004", "000005"]]
    assert [item.id for item in run.failures] == ["000000", "000001", "000002"]
    for item, reason in run.failures.items():
        assert item.person.name in reason and "\n" not in reason
    assert "unpack requires 4 bytes" in run.failures[dataset.items[0]]


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
    def make(some: list[Sample]) -> list[str]:
        if any(sample.item.id == "000002" for sample in some):
            raise error
        return [f"{len(some)} {sample.item.id}" for sample in some]

    run = Run(dataset, make).go([dataset.items[:4], dataset.items[4:]])
    assert [result for _, result in run.kept] == ["1 000000", "1 000001", "1 000003", "2 000004", "2 000005"]
    item = dataset.items[2]
    assert run.failures == {item: f"{item.person}: {reason}"}


def test_an_error_among_the_results_fails_its_item(dataset: DressCodeDataset) -> None:
    run = Run(dataset, lambda some: ["sound", ValueError("not finite")]).go([dataset.items[:2]])
    assert run.kept == [("000000", "sound")]
    assert {item.id for item in run.failures} == {"000001"} and "not finite" in run.failures[dataset.items[1]]


def test_a_result_that_cannot_be_kept_fails_its_item(dataset: DressCodeDataset) -> None:
    run = Run(dataset, lambda some: ["unfit"] * len(some)).go()
    assert len(run.batches) == 3 and not run.kept
    assert run.failures == {item: f"{item.person}: the result is unfit" for item in dataset.items}


@pytest.mark.parametrize("error", [ArgumentError("no"), CheckpointError("no"), ServerUnreachableError("no")])
def test_what_is_wrong_for_all_ends_the_run(dataset: DressCodeDataset, error: ValueError) -> None:
    with pytest.raises(type(error)):
        Run(dataset, Mock(side_effect=error)).go()


def test_what_the_next_item_would_meet_too_is_raised_as_it_is(dataset: DressCodeDataset) -> None:
    error = RuntimeError("CUDA out of memory")
    with pytest.raises(RuntimeError) as raised:
        Run(dataset, Mock(side_effect=error)).go()
    assert raised.value is error


def test_a_killed_reader_ends_the_run(dataset: DressCodeDataset) -> None:
    error = RuntimeError("DataLoader worker (pid 7) is killed")
    with pytest.raises(ReaderKilledError, match="num_workers") as raised:
        Run(dataset, Mock(side_effect=error)).go()
    assert raised.value.__cause__ is error


def test_the_same_error_again_and_again_ends_the_run(dataset: DressCodeDataset) -> None:
    def make(some: list[Sample]) -> list[str]:
        if len(run.batches) == 4:
            return ["sound"]
        raise RuntimeError("CUDA error: device-side assert triggered")

    run, pair = Run(dataset, make), list(dataset.items[:2])
    with pytest.raises(RepeatedFailureError, match="last 10 items failed in the same way"):
        run.go([pair[:1], *[pair] * 100])
    assert run.kept == [("000001", "sound")]  # after which the row begins again
    assert MOST_IN_A_ROW <= len(run.batches) - 4 <= 2 * MOST_IN_A_ROW
    different = iter(range(100))

    def make_each_differently(some: list[Sample]) -> list[str]:
        raise RuntimeError(f"size {next(different)}")

    run = Run(dataset, make_each_differently).go([pair[:1]] * 20)
    assert len(run.batches) == 20 and not run.kept

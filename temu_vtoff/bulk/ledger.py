"""Which photos were in work when a worker died, so that a photo that kills its worker ends as an error."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import ray

MOST_DEATHS = 3


@dataclass
class StageCosts:
    """Photos that a stage has served in a run, and the seconds that its actors worked on them, without waiting."""

    photos: int = 0
    seconds: float = 0.0


@ray.remote(num_cpus=0)
class Ledger:
    """Counts by stage and id how often work on a photo was begun and not ended, and adds up the seconds of the work."""

    def __init__(self) -> None:
        self._costs: dict[str, StageCosts] = {}
        self._entered: set[str] = set()
        self._begun: Counter[tuple[str, str]] = Counter()

    def deaths(self, stage: str, ids: Sequence[str]) -> list[int]:
        """How often a worker died at each of the photos."""
        return [self._begun[stage, photo] for photo in ids]

    def begin(self, stage: str, ids: Sequence[str]) -> None:
        """Work on the photos begins."""
        self._begun.update((stage, photo) for photo in ids)

    def end(self, stage: str, ids: Sequence[str], seconds: float) -> None:
        """Work on the photos has ended, well or with an error, after some seconds."""
        for photo in ids:
            self._begun.pop((stage, photo), None)
        costs = self._costs.setdefault(stage, StageCosts())
        costs.photos += len(ids)
        costs.seconds += seconds

    def costs(self) -> dict[str, StageCosts]:
        """What each stage has served, by its name."""
        return self._costs

    def enter(self, ids: Sequence[str]) -> None:
        """The photos are taken apart into garments."""
        self._entered.update(ids)

    def entered(self) -> int:
        """How many photos were taken apart."""
        return len(self._entered)

"""Whom a data set of drawn people holds: seeds, numbers and options of each."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from drawn_people.attributes import CATEGORIES
from drawn_people.patterns import PLAIN_SHARE
from temu_vtoff.errors import ArgumentError

# Seeds of people: a data set's seed owns a range of 2^20, and test people lie beyond every training person.
SEEDS_PER_SET, LARGEST_SEED, TEST_SEEDS = 1 << 20, (1 << 29) - 1, 1 << 62
NUMBERS_PER_CATEGORY = 300_000  # of the six digits that name an item
PHASES = ("train", "test")


@dataclass(frozen=True)
class Item:
    """One person to be written: `number` shows in the file names, the rest draws it."""

    phase: str
    category: str
    number: int
    seed: int
    plain: float
    layers: bool = False
    letters: bool = False

    @property
    def id(self) -> str:
        return f"{self.number:06d}"


@dataclass(frozen=True)
class People:
    """Whom to draw.

    Attributes:
        train: Training people per category.
        test: Test people per category; never the training people.
        seed: The same seed gives the same bytes.
        width: Width of the pictures, in pixels.
        height: Height of the pictures, in pixels.
        plain: Share of plain garments among the training people; test people always have the default share.
        correspondences: Whether to write correspondences, which draws every person twice.
        layers: Share of people, training and test, who wear an open jacket, cardigan or coat over the garment.
        letters: Share of people, training and test, whose upper-body garment has a word on it.

    Raises:
        ArgumentError: Impossible counts or seed.
    """

    train: int
    test: int
    seed: int = 0
    width: int = 192
    height: int = 256
    plain: float = PLAIN_SHARE
    correspondences: bool = False
    layers: float = 0.0
    letters: float = 0.0

    def __post_init__(self) -> None:
        if self.train < 0 or self.test < 0 or self.train + self.test == 0:
            raise ArgumentError(
                f"{{train}} is {self.train} and {{test}} is {self.test}; give at least one person in all.",
                "train",
                "test",
            )
        if self.train + self.test > NUMBERS_PER_CATEGORY:
            raise ArgumentError(
                f"{{train}} and {{test}} are {self.train + self.test} together; give at most {NUMBERS_PER_CATEGORY}.",
                "train",
                "test",
            )
        for name in ("layers", "letters"):
            if not 0 <= getattr(self, name) <= 1:
                raise ArgumentError(f"{{{name}}} is {getattr(self, name)}; give a share from 0 to 1.", name)
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ArgumentError(f"{{seed}} is {self.seed}; give 0 to {LARGEST_SEED}.", "seed")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    def items(self, categories: Iterable[str]) -> list[Item]:
        """Everybody, category after category."""
        first, items = self.seed * SEEDS_PER_SET, []
        for index, category in enumerate(categories):
            # A number is an item's own through phases and categories: caption files name items by it alone. The seeds
            # of training and test people never meet, whatever the counts.
            number = index * NUMBERS_PER_CATEGORY
            items += [self._item("train", category, number + n, first + n) for n in range(self.train)]
            number += self.train
            items += [self._item("test", category, number + n, TEST_SEEDS + first + n) for n in range(self.test)]
        return items

    def _item(self, phase: str, category: str, number: int, seed: int) -> Item:
        layers, letters = np.random.default_rng([seed, CATEGORIES.index(category)]).random(2)
        return Item(
            phase,
            category,
            number=number,
            seed=seed,
            plain=self.plain if phase == "train" else PLAIN_SHARE,
            layers=bool(layers < self.layers),
            letters=bool(letters < self.letters and category == "upper_body"),
        )

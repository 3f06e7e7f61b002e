"""Several photos of one garment: which photo's product pictures are used, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from temu_vtoff.pictures import unique_stems
from temu_vtoff.stages.garment import Garment, Product
from temu_vtoff.stages.warnings import FROM_BEHIND, sharpness_of

LARGE = 0.15  # share of the model's picture from which a garment's mask is large enough
_UNSAFE = re.compile(r'[\x00-\x1f/\\:*?"<>|]+')


@dataclass(frozen=True)
class View:
    """How good one photo of a garment is.

    Attributes:
        size: In [0, 1]: the mask's share of the photo; 1 from `LARGE` on.
        sharpness: In [0, 1].
        quality: The best product picture's score, in [0, 1].
        is_from_behind: Whether the person is seen from behind; such a photo is used only where no other is left.
    """

    size: float
    sharpness: float
    quality: float
    is_from_behind: bool

    @classmethod
    def of(cls, product: Product) -> View:
        share = float((np.asarray(product.mask) > 127).mean())
        return cls(
            size=round(min(1.0, share / LARGE), 3),
            sharpness=round(sharpness_of(product.photo), 3),
            quality=max(quality.score for quality in product.quality),
            is_from_behind=FROM_BEHIND in product.garment.warnings,
        )

    @property
    def score(self) -> float:
        """The product of the three, in [0, 1]."""
        return round(self.size * self.sharpness * self.quality, 4)

    @property
    def rank(self) -> tuple[bool, float]:
        """The larger, the better."""
        return not self.is_from_behind, self.score

    @property
    def sentence(self) -> str:
        """In words."""
        parts = f"{self.score:.2f} = size {self.size:.2f} x sharpness {self.sharpness:.2f} x quality {self.quality:.2f}"
        return f"{parts}, from behind" if self.is_from_behind else parts


@dataclass(frozen=True)
class Group:
    """The garments that are one garment in several photos.

    Attributes:
        name: Of the files of the photo that is used.
        garments: One of each photo, of one category.
    """

    name: str
    garments: list[Garment] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Of the files of the photo that is used and of the alternatives, from the best on."""
        return [self.name, *(f"{self.name}_alternative_{number}" for number in range(1, len(self.garments)))]


@dataclass(frozen=True)
class Choice:
    """The product of a group.

    Attributes:
        product: Of the photo that is used; with an error where no photo can be served.
        alternatives: Of the other photos, the best first, those with errors last.
        reason: Why it is used, in words; None for a photo alone.
    """

    product: Product
    alternatives: list[Product] = field(default_factory=list)
    reason: str | None = None


def in_groups(garments: Sequence[Garment], taken: Sequence[str] = ()) -> list[Group]:
    """Garments of one `Garment.group` and category together, in the order of their first photos; others alone.

    Args:
        garments: Of a run.
        taken: Names that no group may have.
    """
    found: dict[tuple[object, str], list[Garment]] = {}
    for garment in garments:
        key = garment if garment.group is None else garment.group
        found.setdefault((key, garment.category), []).append(garment)
    of_category = {key for key, _ in found if sum(other == key for other, _ in found) > 1}
    names = [
        members[0].name
        if members[0].group is None
        else _UNSAFE.sub("_", key).strip(". ") + (f"_{category}" if key in of_category else "")
        for (key, category), members in found.items()
    ]
    all_names = [*taken, *(name or "group" for name in names)]
    unique = unique_stems([Path(f"{name}.{number}") for number, name in enumerate(all_names, 1)])[len(taken) :]
    return [Group(name, members) for name, members in zip(unique, found.values(), strict=True)]


def choose_each(groups: Sequence[Group], products: Iterable[Product]) -> Iterator[Choice]:
    """The choice in each group, as soon as its products are made; names their garments for their files.

    Args:
        products: Of all garments of the groups, in order.
    """
    products = iter(products)
    for group in groups:
        choice = _choose([next(products) for _ in group.garments])
        for name, product in zip(group.names, (choice.product, *choice.alternatives), strict=True):
            product.garment.name = name
        yield choice


def _choose(products: list[Product]) -> Choice:
    views = {id(product): View.of(product) for product in products if product.error is None}
    order = sorted(products, key=lambda one: views[id(one)].rank if id(one) in views else (False, -1.0), reverse=True)
    best, *others = order  # `sorted` keeps the order of equal ones, also reversed
    if len(products) == 1 or best.error is not None:
        return Choice(best, others)
    reasons = [f"{best.garment.origin_name}: {views[id(best)].sentence}"]
    for other in others:
        why = views[id(other)].sentence if id(other) in views else "it failed"
        reasons.append(f"{other.garment.origin_name}: {why}")
    return Choice(best, others, "; ".join(reasons))

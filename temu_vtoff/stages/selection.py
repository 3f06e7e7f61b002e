"""Which pictures of a garment are made and kept; light, because `--help` reads it."""

from __future__ import annotations

from dataclasses import dataclass

from temu_vtoff.errors import ArgumentError, check_least


@dataclass(frozen=True)
class Selection:
    """Which pictures of a garment are made and kept.

    Attributes:
        retries: Further tries, each with new seeds, as long as the best picture's quality is below `min_quality`.
        min_quality: A score in [0, 1].
        keep: Number of pictures kept, the best first. Left open, all in the order of their seeds.
        check_captions: Compare captions of the pictures, too; takes the captioner.
        score: Score the pictures. On a CPU the score takes a tenth of the time of a small model's picture.

    Raises:
        ArgumentError: A value out of range, one of retries and min_quality without the other, or a choice by scores
            without scores.
    """

    retries: int = 0
    min_quality: float | None = None
    keep: int | None = None
    check_captions: bool = False
    score: bool = True

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise ArgumentError(f"{{retries}} is {self.retries}; give 0 or more.", "retries")
        if self.min_quality is not None and not 0 <= self.min_quality <= 1:
            raise ArgumentError(f"{{min_quality}} is {self.min_quality}; give 0 to 1.", "min_quality")
        if (self.retries > 0) != (self.min_quality is not None):
            raise ArgumentError("Give {retries} and {min_quality} together.", "retries", "min_quality")
        check_least("keep", self.keep)
        if not self.score and (self.retries > 0 or self.keep is not None or self.check_captions):
            raise ArgumentError("{retries}, {keep} and {check_captions} need {score}.", "score")

"""Fuzzing: files of random damage, encodings and names, by kinds.

    python -m tests.fuzz --seconds 60
    python -m tests.fuzz --only pictures exif --seed 7 --cases 1

A kind is a function of a random generator and an empty folder, registered by `kind("its name")` in a module that
`tests/fuzz/__main__.py` imports. It fails by any exception, by a hang, or by an assertion about its result.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

Case = Callable[[np.random.Generator, Path], None]
KINDS: dict[str, Case] = {}


def kind(name: str) -> Callable[[Case], Case]:
    """Registers a kind of cases."""

    def register(case: Case) -> Case:
        KINDS[name] = case
        return case

    return register


@contextmanager
def only_ours(*names: str | Path) -> Iterator[None]:
    """Lets one-line sentences pass that hold one of the names; anything else that is raised is a finding."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        assert any(str(name) in str(error) for name in names), f"no file name in: {error}"
        assert "\n" not in str(error), f"several lines: {error}"


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The data cut, or with some bytes changed, left out, put in, or zeroed."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if not changed:
            break
        place = int(rng.integers(min(len(changed), 200) if rng.random() < 0.6 else len(changed)))
        match rng.choice(["cut", "change", "drop", "insert", "zero", "swap"]):
            case "cut":
                del changed[place:]
            case "change":
                changed[place] = int(rng.integers(256))
            case "drop":
                del changed[place : place + int(rng.integers(1, 20))]
            case "insert":
                changed[place:place] = rng.bytes(int(rng.integers(1, 20)))
            case "zero":
                end = min(len(changed), place + int(rng.integers(1, 500)))
                changed[place:end] = bytes(end - place)
            case "swap":
                changed[place : place + 4] = changed[place : place + 4][::-1]
    return bytes(changed)

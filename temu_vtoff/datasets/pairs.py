"""Lists of pairs in text files: "person garment" a line, as DressCode, VITON-HD and people write them."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from temu_vtoff.files import read_text

logger = logging.getLogger(__name__)

_SPACED = re.compile(r"\s*(\S.*?\.\w{3,4})\s+(\S.*?\.\w{3,4})(?:\s|$)")  # "a b.jpg c d.jpg"


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    """The names on each line of a pairs file, each pair once; empty lines are skipped.

    Names are separated by a tab, or by spaces, which names with a suffix may hold too. `temu_vtoff.files.read_text`
    lists the encodings.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No text file, a line that is no pair, or no pairs at all.
    """
    pairs = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        names = _two_names(line)
        if names is None:
            raise ValueError(f'{path}, line {number}: "{line}" is not a pair; expected "person garment".')
        pairs.append(names)
    if not pairs:
        raise ValueError(f"The pairs file {path} is empty.")
    once = list(dict.fromkeys(pairs))
    if len(once) < len(pairs):
        logger.warning("%s lists %d pairs more than once: each is taken once", path, len(pairs) - len(once))
    return once


def _two_names(line: str) -> tuple[str, str] | None:
    """The first two names of a line."""
    if "\t" in line.strip():
        names = [name.strip() for name in line.split("\t") if name.strip()]
    elif found := _SPACED.match(line):
        names = list(found.groups())
    else:
        names = line.split()
    return (names[0], names[1]) if len(names) > 1 else None

"""Lists of photos, CSV or JSON lines: one garment a row, with a shop's own categories, captions, masks and names."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from temu_vtoff.errors import ArgumentError, first_few
from temu_vtoff.files import read_text
from temu_vtoff.pictures import unique_stems
from temu_vtoff.pictures.addresses import address_stem, is_address
from temu_vtoff.segmentation.categories import ALL, CATEGORIES
from temu_vtoff.stages.garment import Garment

PHOTO, CATEGORY, CAPTION, MASK, NAME = COLUMNS = ("photo", "category", "caption", "mask", "name")
_NO_NAME = re.compile(r'[\x00-\x1f/\\:*?"<>|]|^\.|^\s*$')  # what some file system can't have, and hidden files


def read_list(path: str | Path, category: str = "upper_body", group_by: str | None = None) -> list[Garment]:
    """The garments of a list, for `TryOff.segment`.

    Args:
        path: CSV with a head, separated by commas, semicolons or tabs, or JSON lines. The columns are `COLUMNS`; only
            `photo` is needed, and others are left alone. Photos are paths, relative to the list's folder, or http(s)
            addresses; masks are paths; the name is that of the result's files.
        category: Of rows without one.
        group_by: A column; rows of one value show the same garment.

    Returns:
        One garment a row, in order; what is wrong with a row is its error.

    Raises:
        FileNotFoundError: There is no such list.
        ValueError: It can't be read, is empty, or has no `photo`.
        ArgumentError: No column `group_by`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no list {path}.")
    text = read_text(path)
    columns, rows = _read_json_lines(text, path) if text.lstrip().startswith("{") else _read_csv(text, path)
    if columns and PHOTO not in columns:
        raise ValueError(f"The list {path} has no column {PHOTO}; its columns are {first_few(columns, 8)}.")
    if not rows:
        raise ValueError(f"The list {path} has no rows.")
    if group_by is not None and group_by not in columns:
        raise ArgumentError(
            f"{{group_by}} is {group_by!r}, and the list's columns are {first_few(columns, 8)}.", "group_by"
        )
    garments = [_garment(row, number, path.parent, category) for number, row in enumerate(rows, 1)]
    for garment, row in zip(garments, rows, strict=True):
        garment.group = None if group_by is None else row.get(group_by) or None
    endings = [garment.category if garment.category in CATEGORIES else ALL for garment in garments]
    names = unique_stems([Path(f"{g.name}.{ending}") for g, ending in zip(garments, endings, strict=True)])
    for garment, name in zip(garments, names, strict=True):
        garment.name = name
    return garments


def group_by_pattern(garments: Sequence[Garment], pattern: str) -> None:
    """Groups photos by their file names: what a regular expression finds in the stem, or its first group.

    Raises:
        ArgumentError: No regular expression.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ArgumentError(
            f"{{group_by}} is {pattern!r}, which is no regular expression: {error}.", "group_by"
        ) from None
    for garment in garments:
        found = expression.search(_stem(garment.photo) if isinstance(garment.photo, (str, Path)) else garment.name)
        garment.group = None if found is None else found.group(1 if expression.groups else 0) or None


def _garment(row: Mapping[str, str], number: int, folder: Path, category: str) -> Garment:
    def beside(value: str) -> str | Path:
        return value if is_address(value) else folder / value

    photo, mask = row.get(PHOTO), row.get(MASK)
    garment = Garment(
        beside(photo) if photo else f"row {number}",
        row.get(CATEGORY) or category,
        name=row.get(NAME) or (_stem(beside(photo)) if photo else f"row_{number}"),
        mask_file=beside(mask) if mask else None,
        caption=row.get(CAPTION) or None,
    )
    if not photo:
        garment.error = ValueError(f"row {number} of the list names no photo.")
    elif not _is_name(garment.name):
        garment.error = ValueError(f"row {number} of the list: {garment.name!r} is no name for a file.")
    if not _is_name(garment.name):
        garment.name = f"row_{number}"
    return garment


def _is_name(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # half of a character
        return False
    return not _NO_NAME.search(name)


def _stem(photo: str | Path) -> str:
    return address_stem(photo) if is_address(photo) else Path(photo).stem


def _read_csv(text: str, path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns, in order, and the rows."""
    head = text.lstrip().partition("\n")[0]
    separator = max(",;\t", key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise ValueError(f"The list {path} is no CSV: {error}.") from error
    rows = [[value.strip() for value in row] for row in rows if any(value.strip() for value in row)]
    names = [name.lower() if name.lower() in COLUMNS else name for name in (rows[0] if rows else [])]
    return list(filter(None, names)), [dict(zip(names, row, strict=False)) for row in rows[1:]]


def _read_json_lines(text: str, path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns, in order, and the rows."""
    rows = []
    for number, line in enumerate(
        io.StringIO(text, newline=None), 1
    ):  # `splitlines` also ends lines within JSON's texts
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or any(isinstance(value, (dict, list)) for value in row.values()):
                raise ValueError
        except (ValueError, RecursionError):
            raise ValueError(f"Line {number} of the list {path} is no JSON object of plain values.") from None
        rows.append({name: "" if value is None else str(value).strip() for name, value in row.items()})
    return list(dict.fromkeys(name for row in rows for name in row)), rows

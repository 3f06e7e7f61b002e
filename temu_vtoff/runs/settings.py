"""The settings of a folder of results; a run with other settings may not add to them."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from temu_vtoff.files import write_text


def read_settings(path: Path) -> dict[str, Any] | None:
    """The settings in a file, or None if it does not exist.

    Raises:
        ValueError: The file is damaged; the message explains how to continue.
    """
    try:
        settings = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(
            f"{path} is damaged, so that nobody can tell which settings {path.parent} was begun with: delete {path} if "
            "they were the same as now, otherwise name another folder."
        )
    return settings


def keep_settings(path: Path, settings: dict[str, Any], may_change: Collection[str] = ()) -> None:
    """Compares the settings with those of the file, then writes them.

    Args:
        path: A JSON file.
        settings: Settings that the results depend on, as JSON values. Further names in the file are ignored.
        may_change: Names whose values are not compared.

    Raises:
        ValueError: The folder was begun with other settings, which the message lists; or the file is damaged.
    """
    earlier = read_settings(path)
    if earlier == settings:
        return
    changed = [
        difference
        for name, value in settings.items()
        if earlier is not None and name not in may_change
        for difference in _differences(name, earlier.get(name), value)
    ]
    if changed:
        raise ValueError(
            f"{path.parent} holds results made with {'; '.join(changed)}: name another folder, or delete that one."
        )
    write_text(path, json.dumps(settings, indent=1) + "\n")


def _differences(name: str, earlier: Any, value: Any) -> list[str]:
    """What differs, in words; of two groups of settings, only those that differ."""
    if earlier == value:
        return []
    if isinstance(earlier, dict) and isinstance(value, dict):
        inner = {*earlier, *value}
        return [words for key in sorted(inner) for words in _differences(key, earlier.get(key), value.get(key))]
    return [f"{name} {json.dumps(earlier)}, not {json.dumps(value)}"]

"""The settings that a folder of results was begun with: a run with others would mix what does not belong together."""

import json
from pathlib import Path
from typing import Any

from temu_vtoff.files import write_text


def keep_settings(path: Path, settings: dict[str, Any]) -> None:
    """Writes the settings, or compares them with those that are there.

    Args:
        path: A JSON file.
        settings: What results depend on, as JSON has it.

    Raises:
        ValueError: The folder was begun with others; the message says which.
    """
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_text(path, json.dumps(settings, indent=1) + "\n")
        return
    changed = [
        f"{name} {json.dumps(earlier.get(name))}, not {json.dumps(settings.get(name))}"
        for name in dict.fromkeys([*settings, *earlier])
        if earlier.get(name) != settings.get(name)
    ]
    if changed:
        raise ValueError(
            f"{path.parent} holds results made with {'; '.join(changed)}: name another folder, or delete that one."
        )

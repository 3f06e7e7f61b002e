"""Caption files: JSON, `{item id: [caption]}`."""

import json
from pathlib import Path

from temu_vtoff.files import read_text


def read_captions(path: str | Path) -> dict[str, str]:
    """The captions by item id (a garment's file name up to the first "_").

    Args:
        path: A JSON object whose values are lists of one caption, as published, or plain captions.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not such a JSON object.
    """
    path = Path(path)
    try:
        entries = json.loads(read_text(path))
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no caption file {path}.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The caption file {path} is damaged or not JSON: {error}") from error
    if not isinstance(entries, dict):
        raise ValueError(f"The caption file {path} must hold one object, item id to [caption].")
    captions = {}
    for item_id, entry in entries.items():
        caption = entry[0] if isinstance(entry, list) and entry else entry
        if isinstance(caption, str):
            captions[item_id] = _whole(caption, f"The caption of item {item_id!a} in {path}")
        elif entry:
            raise ValueError(f"The caption file {path} has no text for item {item_id}; expected [caption].")
    return captions


def _whole(text: str, what: str) -> str:
    """
    Raises:
        ValueError: The text holds a lone surrogate, which no text encoder takes.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{what} is damaged: it holds half a character ({text!a}).") from None
    return text

"""The folders of the small built-in model. README.md beside this file describes how it was trained."""

from pathlib import Path

from temu_vtoff.errors import ArgumentError

BUILTIN = "builtin"
FOLDER = Path(__file__).parent
PARTS = ("tryoff", "segmenter", "captioner", "tryon")
NOTICE = "The built-in model knows drawn people only. For photographs use the published weights (see README.md)."


def resolve(name_or_path: str | Path, part: str) -> str:
    """The folder of a part of the built-in model if `name_or_path` is "builtin", otherwise `name_or_path` itself.

    Args:
        name_or_path: "builtin", a hub id or a folder.
        part: One of `PARTS`: the try-off pipeline, the SegFormer, the captioner or the try-on parts.

    Raises:
        ArgumentError: There is no such part.
    """
    if part not in PARTS:
        raise ArgumentError(f"{{part}} is {part!r}; the built-in parts are {', '.join(PARTS)}.", "part")
    return str(FOLDER / part) if str(name_or_path) == BUILTIN else str(name_or_path)

"""The built-in small model: where its parts lie. README.md beside this file tells how they were made."""

from pathlib import Path

BUILTIN = "builtin"
FOLDER = Path(__file__).parent
PARTS = ("tryoff", "segmenter", "captioner")
NOTICE = (
    "The built-in model knows drawn people only; for photographs name the published weights "
    "(--pretrained_model_name_or_path_sd3_tryoff davidelobba/TEMU-VTOFF and so on, see README.md)."
)


def resolve(name_or_path: str | Path, part: str) -> str:
    """The folder of a built-in part when `name_or_path` is "builtin", else `name_or_path` itself.

    Args:
        name_or_path: "builtin", a hub id or a folder.
        part: One of `PARTS`: the try-off pipeline, the SegFormer or the captioner.
    """
    if part not in PARTS:
        raise ValueError(f"There is no built-in {part!r}; the parts are {', '.join(PARTS)}.")
    return str(FOLDER / part) if str(name_or_path) == BUILTIN else str(name_or_path)

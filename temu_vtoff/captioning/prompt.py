"""What a captioner is asked, and the clean line that its answer becomes: "a <cloth type> with <attributes>"."""

import re
from typing import Literal

Source = Literal["person", "garment"]

_FULL = ("Cloth Type", "Waist", "Fit", "Hem", "Neckline", "Sleeve Length", "Cloth Length")
ATTRIBUTES = {"upper_body": _FULL, "lower_body": ("Cloth Type", "Waist", "Fit", "Cloth Length"), "dresses": _FULL}
SOURCES = ("person", "garment")
_GARMENTS = {
    "upper_body": "the upper-body garment (top, shirt or jacket)",
    "lower_body": "the lower-body garment (trousers, shorts or skirt)",
    "dresses": "the dress",
}


def caption_prompt(category: str, source: Source = "person") -> str:
    """What the captioner is asked. The built-in captioner was trained on these very words.

    Args:
        category: A key of `ATTRIBUTES`.
        source: "person" when the picture shows somebody wearing the garment, "garment" for an in-shop picture.

    Raises:
        ValueError: Unknown category or source.
    """
    if category not in ATTRIBUTES:
        raise ValueError(f"category is {category!r}; choose one of {', '.join(ATTRIBUTES)}.")
    if source not in SOURCES:
        raise ValueError(f"caption source is {source!r}; choose one of {', '.join(SOURCES)}.")
    garment = _GARMENTS[category]
    scene = f"{garment} this person wears" if source == "person" else f"{garment} in this shop picture"
    attributes = ", ".join(name.lower() for name in ATTRIBUTES[category])
    return (
        f"Describe the shape of {scene}. Tell these attributes: {attributes}. "
        'Answer with one line of the form "a <cloth type> with <attributes>", the attributes separated by commas. '
        "Leave out what can't be seen. Don't mention colours, patterns, prints, materials, brands, the person, "
        "other clothes or the background."
    )


def clean_caption(text: str) -> str:
    """One line without what chat models put around an answer: quotes, a label, Markdown, the final full stop."""
    text = re.sub(r"[*_`#]+|^\s*[-•]\s+", " ", text, flags=re.MULTILINE)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = re.sub(r"^(?:the )?(?:caption|answer|description)\s*:\s*", "", line, flags=re.IGNORECASE)
    line = line.strip(" \"'“”‘’").removesuffix(".").strip(" \"'“”‘’,;")
    return re.sub(r"^An?\b", lambda match: match[0].lower(), line)

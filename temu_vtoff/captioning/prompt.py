"""The prompt for a captioner, and the caption made of its answer: "a <cloth type> with <attributes>"."""

import math
import re
from collections.abc import Sequence
from typing import Literal

from temu_vtoff.errors import ArgumentError, check_choice, check_least

Source = Literal["person", "garment"]

MAX_PIXELS = 1024 * 28 * 28  # 1024 visual tokens of 28x28 pixels each: a whole 768x1024 photo
SEEDS = range(2**63)
TEMPERATURE = 0.2  # of the published captions
MAX_NEW_TOKENS = 75  # of a caption, as in the release

_FULL = ("Cloth Type", "Waist", "Fit", "Hem", "Neckline", "Sleeve Length", "Cloth Length")
ATTRIBUTES = {
    "upper_body": _FULL,
    "lower_body": ("Cloth Type", "Waist", "Fit", "Cloth Length"),
    "dresses": _FULL,
    "outer": _FULL,
    "inner": _FULL,
    "shoes": ("Cloth Type", "Toe", "Heel", "Height", "Fastening"),
    "bag": ("Cloth Type", "Size", "Handles", "Closure"),
    "hat": ("Cloth Type", "Crown", "Brim"),
    "scarf": ("Cloth Type", "Width", "Cloth Length", "Ends"),
    "belt": ("Cloth Type", "Width", "Buckle"),
}
SOURCES = ("person", "garment")
_GARMENTS = {
    "upper_body": "the upper-body garment (top, shirt or jacket)",
    "lower_body": "the lower-body garment (trousers, shorts or skirt)",
    "dresses": "the dress",
    "outer": "the outer garment (jacket, coat, cardigan or vest)",
    "inner": "the garment under the open jacket (top or shirt)",
    "shoes": "the shoes",
    "bag": "the bag",
    "hat": "the hat",
    "scarf": "the scarf",
    "belt": "the belt",
}


def caption_prompt(category: str, source: Source = "person") -> str:
    """The prompt for a captioner. The built-in captioner was trained on exactly the words of the first three.

    Args:
        category: A key of `ATTRIBUTES`.
        source: "person" for a photo of a person wearing the garment, "garment" for an in-shop picture.

    Raises:
        ArgumentError: Unknown category or source.
    """
    check_choice("category", category, ATTRIBUTES)
    check_choice("source", source, SOURCES)
    garment = _GARMENTS[category]
    scene = f"{garment} this person wears" if source == "person" else f"{garment} in this shop picture"
    attributes = ", ".join(name.lower() for name in ATTRIBUTES[category])
    return (
        f"Describe the shape of {scene}. Tell these attributes: {attributes}. "
        'Answer with one line of the form "a <cloth type> with <attributes>", the attributes separated by commas. '
        "Leave out what can't be seen. Don't mention colours, patterns, prints, materials, brands, the person, "
        "other clothes or the background."
    )


def check_sampling(temperature: float, max_new_tokens: int, seeds: Sequence[int | None]) -> None:
    """Checks the settings of the sampling.

    Raises:
        ArgumentError: A value is out of range.
    """
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ArgumentError(f"{{temperature}} is {temperature}; give 0 or more.", "temperature")
    check_least("max_new_tokens", max_new_tokens)
    for seed in seeds:
        if seed is not None and seed not in SEEDS:
            raise ArgumentError(f"{{seed}} is {seed}; give a whole number from 0 to {SEEDS[-1]}.", "seed")


def clean_caption(text: str) -> str:
    """The answer on one line, without thoughts, quotes, a label ("Caption:"), Markdown and the full stop."""
    text = re.sub(r"^.*</think>|<think>.*", " ", text, flags=re.DOTALL)  # an unfinished thought has no answer
    text = re.sub(r"[*_`#]+|^\s*[-•]\s+", " ", text, flags=re.MULTILINE)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = re.sub(r"^(?:the )?(?:caption|answer|description)\s*:\s*", "", line, flags=re.IGNORECASE)
    line = line.strip(" \"'“”‘’").removesuffix(".").strip(" \"'“”‘’,;")
    return re.sub(r"^An?\b", lambda match: match[0].lower(), line)
